package tenantregistry;

import java.net.URI;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.keycloak.protocol.oidc.mappers.OIDCAttributeMapperHelper;
import org.keycloak.provider.ProviderConfigProperty;

/**
 * What the operator sets at the mapper. A realm import checks nothing, so reading is defensive as well.
 * Invariant: no look-up is given more than {@link #LONGEST}, whatever stands in the realm.
 */
record Settings(URI endpoint, String bearer, Duration limit, boolean deny, List<String> attributes) {
    static final String URL = "registry.url";
    static final String BEARER = "registry.bearer";
    static final String TIMEOUT = "registry.timeout.ms";
    static final String ON_ERROR = "registry.on.error";
    static final String ATTRIBUTES = "registry.user.attributes";
    static final Duration LONGEST = Duration.ofMillis(1500);

    private static final String PATH = "/v1/internal/keycloak/claims";
    /** How Keycloak's console separates the values of a multi-valued setting. */
    private static final String SEPARATOR = "##";

    /** The settings in a mapper's configuration; null where no registry is named: then the mapper does nothing. */
    static Settings of(Map<String, String> config) {
        String url = text(config, URL);
        if (url.isEmpty()) {
            return null;
        }
        String bearer = text(config, BEARER);
        if (bearer.chars().anyMatch(c -> c < 0x21 || c > 0x7e)) {
            throw new IllegalArgumentException(BEARER + " holds characters that no header may have");
        }
        return new Settings(endpoint(url), bearer, limit(text(config, TIMEOUT)), deny(text(config, ON_ERROR)),
                Stream.of(text(config, ATTRIBUTES).split(SEPARATOR)).map(String::trim).filter(name -> !name.isEmpty()).toList());
    }

    private static String text(Map<String, String> config, String name) {
        String value = config.get(name);
        return value == null ? "" : value.trim();
    }

    private static URI endpoint(String url) {
        String base = url.endsWith("/") ? url.substring(0, url.length() - 1) : url;
        URI endpoint = URI.create(base + PATH);
        boolean isHttp = "http".equals(endpoint.getScheme()) || "https".equals(endpoint.getScheme());
        if (!isHttp || endpoint.getHost() == null || endpoint.getQuery() != null || endpoint.getFragment() != null
                || endpoint.getUserInfo() != null) {
            throw new IllegalArgumentException(URL + " must be the http or https address of the registry, without a query");
        }
        return endpoint;
    }

    private static Duration limit(String text) {
        if (text.isEmpty()) {
            return LONGEST;
        }
        long millis;
        try {
            millis = Long.parseLong(text);
        } catch (NumberFormatException error) {
            millis = 0;
        }
        if (millis < 1 || millis > LONGEST.toMillis()) {
            throw new IllegalArgumentException(TIMEOUT + " must be a number from 1 to " + LONGEST.toMillis());
        }
        return Duration.ofMillis(millis);
    }

    private static boolean deny(String text) {
        return switch (text) {
            case "", "omit" -> false;
            case "deny" -> true;
            default -> throw new IllegalArgumentException(ON_ERROR + " must be omit or deny");
        };
    }

    /** As the admin console shows them. */
    static List<ProviderConfigProperty> properties() {
        List<ProviderConfigProperty> properties = new java.util.ArrayList<>();
        properties.add(property(URL, "Registry URL", "Address of the tenant registry, for example https://registry.example.com. Empty: the mapper does nothing.",
                ProviderConfigProperty.STRING_TYPE, ""));
        ProviderConfigProperty bearer = property(BEARER, "Registry key", "API key of the registry with the scope registry:internal.",
                ProviderConfigProperty.PASSWORD, "");
        bearer.setSecret(true);
        properties.add(bearer);
        properties.add(property(TIMEOUT, "Time limit (ms)", "How long a login may wait for the registry: 1 to 1500.",
                ProviderConfigProperty.STRING_TYPE, String.valueOf(LONGEST.toMillis())));
        ProviderConfigProperty onError = property(ON_ERROR, "Without an answer",
                "omit: the token has none of the claims. deny: no token is issued.", ProviderConfigProperty.LIST_TYPE, "omit");
        onError.setOptions(List.of("omit", "deny"));
        properties.add(onError);
        properties.add(property(ATTRIBUTES, "User attributes", "Attributes of the user to pass on; the registry reads those of CLAIMS_LOOKUP_KEYS.",
                ProviderConfigProperty.MULTIVALUED_STRING_TYPE, null));
        OIDCAttributeMapperHelper.addIncludeInTokensConfig(properties, TenantClaimsMapper.class);
        // Each kind of token that is made in a request of its own asks the registry anew; only access tokens do unasked.
        for (ProviderConfigProperty property : properties) {
            if (List.of(OIDCAttributeMapperHelper.INCLUDE_IN_ID_TOKEN, OIDCAttributeMapperHelper.INCLUDE_IN_USERINFO,
                    OIDCAttributeMapperHelper.INCLUDE_IN_INTROSPECTION).contains(property.getName())) {
                property.setDefaultValue("false");
            }
        }
        return properties;
    }

    private static ProviderConfigProperty property(String name, String label, String help, String type, Object otherwise) {
        return new ProviderConfigProperty(name, label, help, type, otherwise);
    }

    /** Without the key. */
    @Override
    public String toString() {
        return "Settings[" + endpoint + ", " + limit.toMillis() + " ms, " + (deny ? "deny" : "omit") + "]";
    }
}
