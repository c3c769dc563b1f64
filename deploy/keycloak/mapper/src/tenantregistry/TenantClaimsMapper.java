package tenantregistry;

import jakarta.ws.rs.core.Response;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.jboss.logging.Logger;
import org.keycloak.models.ClientSessionContext;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.OrganizationModel;
import org.keycloak.models.ProtocolMapperContainerModel;
import org.keycloak.models.ProtocolMapperModel;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.UserSessionModel;
import org.keycloak.organization.OrganizationProvider;
import org.keycloak.organization.protocol.mappers.oidc.OrganizationScope;
import org.keycloak.protocol.ProtocolMapperConfigException;
import org.keycloak.protocol.oidc.mappers.AbstractOIDCProtocolMapper;
import org.keycloak.protocol.oidc.mappers.OIDCAccessTokenMapper;
import org.keycloak.protocol.oidc.mappers.OIDCIDTokenMapper;
import org.keycloak.protocol.oidc.mappers.TokenIntrospectionTokenMapper;
import org.keycloak.protocol.oidc.mappers.UserInfoTokenMapper;
import org.keycloak.provider.ProviderConfigProperty;
import org.keycloak.representations.IDToken;
import org.keycloak.services.ErrorResponseException;

/**
 * Writes what the tenant registry says about the user's tenant into tokens: tenant_id, slug, products, plan, status.
 * Keycloak calls it whenever it makes a token; the tenant is the organization that the token is for.
 * Invariant: a user of several organizations who chose none gets no claims, and nobody is asked; without an answer all
 * five claims are left out, or no token is issued ("deny"), and never anything between.
 */
public final class TenantClaimsMapper extends AbstractOIDCProtocolMapper
        implements OIDCAccessTokenMapper, OIDCIDTokenMapper, UserInfoTokenMapper, TokenIntrospectionTokenMapper {
    private static final String ID = "tenant-registry-claims-mapper";
    private static final Logger LOG = Logger.getLogger(TenantClaimsMapper.class);

    private final Registry registry = new Registry();

    @Override
    public String getId() {
        return ID;
    }

    @Override
    public String getDisplayCategory() {
        return TOKEN_MAPPER_CATEGORY;
    }

    @Override
    public String getDisplayType() {
        return "Tenant registry claims";
    }

    @Override
    public String getHelpText() {
        return "Asks the tenant registry about the user's organization and adds tenant_id, slug, products, plan and status.";
    }

    @Override
    public List<ProviderConfigProperty> getConfigProperties() {
        return Settings.properties();
    }

    @Override
    public void validateConfig(KeycloakSession session, RealmModel realm, ProtocolMapperContainerModel container, ProtocolMapperModel model)
            throws ProtocolMapperConfigException {
        try {
            Settings.of(model.getConfig());
        } catch (IllegalArgumentException error) {
            throw new ProtocolMapperConfigException(error.getMessage(), "{0}", error.getMessage());
        }
    }

    @Override
    protected void setClaim(IDToken token, ProtocolMapperModel model, UserSessionModel userSession, KeycloakSession session,
            ClientSessionContext context) {
        UserModel user = userSession.getUser();
        Outcome outcome;
        try {
            Settings settings = Settings.of(model.getConfig());
            if (settings == null) {
                return;
            }
            Optional<String> alias = organization(user, session, context);
            if (alias.isEmpty()) {
                return;
            }
            outcome = once(session, settings, model.getId(), alias.get(), user);
        } catch (IllegalArgumentException error) {
            // A realm import takes every setting as it stands. What cannot be read may have been meant as "deny".
            LOG.errorf("mapper %s: %s", model.getName(), error.getMessage());
            outcome = new Outcome(null, Response.Status.SERVICE_UNAVAILABLE, "deny".equals(model.getConfig().get(Settings.ON_ERROR)));
        }
        if (outcome.claims != null) {
            token.getOtherClaims().putAll(outcome.claims);
        } else if (outcome.deny) {
            boolean refused = outcome.status == Response.Status.FORBIDDEN;
            throw new ErrorResponseException(refused ? "access_denied" : "temporarily_unavailable",
                    refused ? "The tenant is not known" : "The tenant cannot be looked up now", outcome.status);
        }
    }

    /** The claims, or what a refusal would say. */
    private record Outcome(Map<String, Object> claims, Response.Status status, boolean deny) {}

    /** One look-up serves all tokens of a request: access token and ID token of one login ask once. */
    private Outcome once(KeycloakSession session, Settings settings, String mapper, String alias, UserModel user) {
        String key = ID + " " + mapper + " " + alias + " " + user.getId();
        Outcome known = session.getAttribute(key, Outcome.class);
        if (known == null) {
            known = lookUp(settings, alias, user);
            session.setAttribute(key, known);
        }
        return known;
    }

    private Outcome lookUp(Settings settings, String alias, UserModel user) {
        try {
            return new Outcome(registry.ask(settings, alias, attributes(settings, user)), null, settings.deny());
        } catch (Registry.NoAnswer error) {
            LOG.warnf("no tenant claims for the organization %s (%s): %s", alias, settings.deny() ? "deny" : "omit", error.getMessage());
            Response.Status status = error.refused ? Response.Status.FORBIDDEN : Response.Status.SERVICE_UNAVAILABLE;
            return new Outcome(null, status, settings.deny());
        }
    }

    private static Map<String, List<String>> attributes(Settings settings, UserModel user) {
        Map<String, List<String>> passed = new LinkedHashMap<>();
        for (String name : settings.attributes()) {
            List<String> values = user.getAttributeStream(name).toList();
            if (!values.isEmpty()) {
                passed.put(name, values);
            }
        }
        return passed;
    }

    /**
     * The alias of the organization that the token is for: the one that the scope names or the user chose, else the only one
     * that the user has. The context's organization is no help: whether it is set depends on the order of the mappers.
     */
    private static Optional<String> organization(UserModel user, KeycloakSession session, ClientSessionContext context) {
        OrganizationProvider organizations = session.getProvider(OrganizationProvider.class);
        if (organizations == null || !organizations.isEnabled()) {
            return Optional.empty();
        }
        String scopes = context.getScopeString(true);
        OrganizationScope scope = OrganizationScope.valueOfScope(session, scopes);
        Stream<OrganizationModel> named = scope == null
                ? organizations.getByMember(user)
                : scope.resolveOrganizations(user, scopes, session);
        List<String> aliases = named.filter(organization -> organization.isEnabled() && organizations.isMember(organization, user))
                .map(OrganizationModel::getAlias).distinct().limit(2).toList();
        return aliases.size() == 1 ? Optional.of(aliases.get(0)) : Optional.empty();
    }
}
