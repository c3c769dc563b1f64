package tenantregistry;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodySubscriber;
import java.nio.ByteBuffer;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Flow;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;

/**
 * Asks the registry. {@link TenantClaimsMapper} holds the one of the server.
 * Invariant: {@link #ask} returns or throws within the limit of the settings, whatever the other side does: the limit of
 * an {@link HttpRequest} ends with the head of the answer, so here it is the whole exchange that is waited for and cancelled.
 */
final class Registry {
    private static final int BODY_MAX = 64 * 1024;

    private final HttpClient client = HttpClient.newBuilder()
            .version(HttpClient.Version.HTTP_1_1)
            .connectTimeout(Settings.LONGEST)
            .followRedirects(HttpClient.Redirect.NEVER)
            .build();

    /** The registry gave no bundle; the text is for the log and holds neither key nor answer. */
    static final class NoAnswer extends Exception {
        private static final long serialVersionUID = 1L;
        /** Whether the registry knows the tenant and the question, and says no; else it may do better another time. */
        final boolean refused;

        NoAnswer(String message, boolean refused) {
            super(message, null, false, false);
            this.refused = refused;
        }
    }

    /** The claims of the tenant with this slug. */
    Map<String, Object> ask(Settings settings, String alias, Map<String, List<String>> attributes) throws NoAnswer {
        HttpRequest.Builder request = HttpRequest.newBuilder(settings.endpoint())
                .header("Content-Type", "application/json")
                .header("Accept", "application/json")
                .POST(HttpRequest.BodyPublishers.ofByteArray(Json.question(alias, attributes)));
        if (!settings.bearer().isEmpty()) {
            request.header("Authorization", "Bearer " + settings.bearer());
        }
        HttpResponse<byte[]> answer = await(client.sendAsync(request.build(), head -> new Limited()), settings);
        if (answer.statusCode() != 200) {
            boolean refused = answer.statusCode() == 404 || answer.statusCode() == 409;
            throw new NoAnswer("the registry answers " + answer.statusCode(), refused);
        }
        try {
            return Json.claims(answer.body());
        } catch (IOException error) {
            throw new NoAnswer(error.getMessage(), false);
        }
    }

    private static <T> T await(CompletableFuture<T> exchange, Settings settings) throws NoAnswer {
        try {
            return exchange.get(settings.limit().toMillis(), TimeUnit.MILLISECONDS);
        } catch (TimeoutException error) {
            exchange.cancel(true);
            throw new NoAnswer("no answer of the registry within " + settings.limit().toMillis() + " ms", false);
        } catch (InterruptedException error) {
            exchange.cancel(true);
            Thread.currentThread().interrupt();
            throw new NoAnswer("interrupted", false);
        } catch (ExecutionException error) {
            throw new NoAnswer("the registry cannot be asked: " + error.getCause().getClass().getSimpleName(), false);
        }
    }

    /** Gathers a body up to {@link #BODY_MAX}. */
    private static final class Limited implements BodySubscriber<byte[]> {
        private final CompletableFuture<byte[]> whole = new CompletableFuture<>();
        private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        private Flow.Subscription subscription;

        @Override
        public CompletionStage<byte[]> getBody() {
            return whole;
        }

        @Override
        public void onSubscribe(Flow.Subscription given) {
            subscription = given;
            given.request(1);
        }

        @Override
        public void onNext(List<ByteBuffer> parts) {
            for (ByteBuffer part : parts) {
                if (bytes.size() + part.remaining() > BODY_MAX) {
                    subscription.cancel();
                    whole.completeExceptionally(new IOException("the answer is too long"));
                    return;
                }
                byte[] copy = new byte[part.remaining()];
                part.get(copy);
                bytes.writeBytes(copy);
            }
            subscription.request(1);
        }

        @Override
        public void onError(Throwable error) {
            whole.completeExceptionally(error);
        }

        @Override
        public void onComplete() {
            whole.complete(bytes.toByteArray());
        }
    }
}
