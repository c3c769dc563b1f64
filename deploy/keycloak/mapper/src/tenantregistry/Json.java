package tenantregistry;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The one place that knows a JSON library: the Jackson that Keycloak ships.
 * Invariant: what comes out of {@link #claims} has exactly the five members of the registry's answer, each of its type.
 */
final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper().enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS);
    private static final List<String> TEXTS = List.of("tenant_id", "slug", "plan", "status");
    private static final String PRODUCTS = "products";

    private Json() {}

    /** The question: the organization's alias, and the attributes that the operator lets pass. */
    static byte[] question(String alias, Map<String, List<String>> attributes) {
        Map<String, Object> question = new LinkedHashMap<>();
        question.put("tenant_slug", alias);
        if (!attributes.isEmpty()) {
            question.put("user_attrs", attributes);
        }
        try {
            return MAPPER.writeValueAsBytes(question);
        } catch (JsonProcessingException error) {
            throw new IllegalStateException("texts cannot be written as JSON", error);
        }
    }

    /** The bundle of an answer; a body that is anything else is an {@link IOException} that does not repeat it. */
    static Map<String, Object> claims(byte[] body) throws IOException {
        JsonNode node;
        try {
            node = MAPPER.readTree(body);
        } catch (IOException error) {
            throw new IOException("the answer is not JSON");
        }
        Map<String, Object> claims = new LinkedHashMap<>();
        for (String name : TEXTS) {
            claims.put(name, text(node.get(name), name));
        }
        JsonNode products = node.get(PRODUCTS);
        if (products == null || !products.isArray()) {
            throw new IOException("the answer has no list " + PRODUCTS);
        }
        List<String> names = new ArrayList<>();
        for (JsonNode product : products) {
            names.add(text(product, PRODUCTS));
        }
        claims.put(PRODUCTS, names);
        return claims;
    }

    private static String text(JsonNode node, String name) throws IOException {
        if (node == null || !node.isTextual()) {
            throw new IOException("the answer has no text " + name);
        }
        return node.textValue();
    }
}
