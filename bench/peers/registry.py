"""The runtime's Python peer, `TenantRegistry` of adcp, doing the work of the runtime's own bench.

Called by run.sh beside it with the wheel that pip got. Writes one JSON object per figure: `ns` or `us` is the median of
the rounds, `best` the fastest of them, `tenants` how many are registered. registry.mjs does the same.

The registry's modules are imported without what `adcp.server` imports beside them (more than 50 packages, half a minute
to compile): they are the published ones, and need nothing of it. What is chosen in the peer's favour: there is no
validator, so tenants are healthy at once, and hosts are texts made before the clock runs. With ten tenants every host is
in the cache of `urllib.parse.urlsplit`, if Python has one (128 entries up to now); with 1,000 most are not.

Invariant: only a right answer is timed. Every round counts its right answers, and a case whose first answer is wrong is
written with a `note` and without a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
import types

LOOKUPS_MAX = 1 << 16
PREFIXES = (1, 10, 100)


def load(wheel):
    sys.path.insert(0, wheel)
    import adcp

    server = types.ModuleType("adcp.server")
    server.__path__ = [folder + "/server" for folder in adcp.__path__]
    sys.modules["adcp.server"] = server
    from adcp.server.tenant_registry import TenantRegistry

    return TenantRegistry, adcp.__version__


class Bench:
    def __init__(self, settings):
        self.registry_class, version = load(settings.wheel)
        self.peer = f"adcp {version}"
        self.settings = settings

    async def run(self):
        for tenants in self.settings.tenants:
            await self.measure(tenants)
        for prefixes in PREFIXES:
            await self.measure_paths(prefixes)

    async def measure(self, tenants):
        registry = self.registry_class()
        problem = await self.fill(registry, tenants)
        if problem:
            self.figure("register", tenants, note=f"skipped: {problem}")
            return

        order = scrambled(tenants)
        for what, host, right in (
            ("resolve_by_host", "t{}.example.com", "t{}"),
            ("resolve_mixed_case", "T{}.Example.COM", "t{}"),
            ("resolve_with_port", "t{}.example.com:443", "t{}"),
            ("resolve_with_root_dot", "t{}.example.com.", "t{}"),
            ("resolve_unknown", "u{}.example.com", None),
        ):
            asked = [(host.format(i), right and right.format(i)) for i in order]
            self.lookups(what, tenants, asked, registry.resolve_by_host)

        async def once(count):
            begin = time.perf_counter_ns()
            for _ in range(count):
                await register(registry, "extra", "https://extra.example.com")
                registry.unregister("extra")
            return (time.perf_counter_ns() - begin) / count

        count = self.fitting(await once(8))
        times = [await once(count) / 1e3 for _ in range(self.settings.rounds)]
        self.figure("register_unregister", tenants, us=statistics.median(times), best=min(times))

    async def measure_paths(self, prefixes):
        """It takes whole addresses, so they are what it is asked about; all prefixes are on one host."""
        registry = self.registry_class()
        for i in range(prefixes):
            await register(registry, f"p{i}", f"https://paths.example.com/p{i}")
        asked = [(f"https://paths.example.com/p{i}/mcp", f"p{i}") for i in scrambled(prefixes)]
        # With one prefix it is right by chance: it is so for every other path of that host too.
        other = registry.resolve_by_host("https://paths.example.com/other")
        if other is not None:
            self.figure("resolve_by_path", prefixes, note=f"not supported: any path of the host gives {other.tenant_id}")
            return
        self.lookups("resolve_by_path", prefixes, asked, registry.resolve_by_host)

    async def fill(self, registry, tenants):
        """Gives why it stopped, if it did: when it takes too long."""
        begin = time.perf_counter()
        for i in range(tenants):
            await register(registry, f"t{i}", f"https://t{i}.example.com")
            seconds = time.perf_counter() - begin
            if seconds > self.settings.fill_seconds:
                return f"registering takes longer than {self.settings.fill_seconds} s: {i + 1} were registered"
        print(f"{self.peer}: {tenants} registered in {time.perf_counter() - begin:.2f} s", file=sys.stderr)
        return None

    def lookups(self, what, tenants, asked, resolve):
        first, right = asked[0]
        answer = served(resolve(first))
        if answer != right:
            self.figure(what, tenants, note="not matched" if answer is None else f"matched {answer}")
            return

        def run(count):
            # Whole passes over the questions and a part of one, so that the loop costs as little as it can.
            passes, rest = divmod(count, len(asked))
            parts = [asked] * passes + [asked[:rest]]
            right_ones = 0
            begin = time.perf_counter_ns()
            for part in parts:
                for question, right in part:
                    found = resolve(question)
                    # The same as `served`, without the call.
                    if (found.tenant_id if found is not None and found.health == "healthy" else None) == right:
                        right_ones += 1
            took = time.perf_counter_ns() - begin
            if right_ones != count:
                raise RuntimeError(f"{what}: {count - right_ones} wrong answers of {count}")
            return took / count

        count = 8
        for _ in range(3):
            count = self.fitting(run(count))
        times = [run(count) for _ in range(self.settings.rounds)]
        self.figure(what, tenants, ns=statistics.median(times), best=min(times))

    def fitting(self, ns):
        return min(LOOKUPS_MAX, max(8, int(self.settings.round_ms * 1e6 / ns)))

    def figure(self, what, tenants, **result):
        rounded = {name: round(value, 1) if isinstance(value, float) else value for name, value in result.items()}
        print(json.dumps({"peer": self.peer, "what": what, "tenants": tenants, **rounded}), flush=True)


async def register(registry, tenant, agent_url):
    await registry.register(tenant, agent_url=agent_url, platform=PLATFORM, await_first_validation=True)


def served(found):
    """The registry leaves it to its caller to look at the health, so that is part of an answer."""
    return found.tenant_id if found is not None and found.health == "healthy" else None


def scrambled(tenants):
    """Which tenants are asked about one after the other: as scrambled as registry.mjs has them."""
    order = []
    state = 1
    for _ in range(min(LOOKUPS_MAX, max(tenants, 1024))):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        order.append((state >> 4) % tenants)
    return order


def positive(kind):
    def parse(text):
        value = kind(text)
        if value <= 0:
            raise ValueError(text)
        return value

    return parse


def main():
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("wheel")
    sizes = "10,1000,10000,100000"
    parser.add_argument("--tenants", type=lambda text: [positive(int)(n) for n in text.split(",")], default=sizes)
    parser.add_argument("--rounds", type=positive(int), default=11)
    parser.add_argument("--round-ms", type=positive(float), default=50)
    parser.add_argument("--fill-seconds", type=positive(float), default=120)
    # For the other peer: this one builds nothing.
    parser.add_argument("--servers", action="store_true")
    asyncio.run(Bench(parser.parse_args()).run())


# What a platform is does not matter to the registry: it hands it out and nothing else.
PLATFORM = object()

if __name__ == "__main__":
    main()
