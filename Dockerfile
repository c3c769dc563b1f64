# The image of the service: the binary, the C library and certificates, and no shell.
# Built by `docker build -t tenant-registry .` (BuildKit or podman: the cache mounts keep the dependencies between builds).
# Invariant: it runs as a user that is not root, writes nothing outside a mounted volume, and refuses to start until it is
# told its database and its issuer, since APP_ENV is `prod` here.

FROM docker.io/library/rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --release --locked --package server --bin tenant-registry \
    && cp target/release/tenant-registry /tenant-registry

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /tenant-registry /tenant-registry
ENV APP_ENV=prod
EXPOSE 8090
# `nonroot` of the base image, as a number so that Kubernetes can check `runAsNonRoot`.
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=3 CMD ["/tenant-registry", "healthcheck"]
ENTRYPOINT ["/tenant-registry"]
CMD ["serve"]
