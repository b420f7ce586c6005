package config

import (
	"slices"
	"strings"

	"github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/oauth"
)

var authMethods = []oauth.AuthMethod{oauth.MethodJWT, oauth.MethodX509, oauth.MethodWIT}

// readMethods reads how the client authenticates (MD-22, CA-7).
func readMethods(t *table) []oauth.AuthMethod {
	const one, several = "token_endpoint_auth_method", "auth_methods"
	var entries []entry
	switch {
	case t.has(one) && t.has(several):
		t.r.fault(t.members[several].at, "a client has token_endpoint_auth_method or auth_methods, not both")
		return nil
	case t.has(one):
		if s, ok := t.text(one, "spiffe_jwt, spiffe_x509 or spiffe_wit"); ok {
			entries = []entry{{s, t.place(one)}}
		}
	case t.has(several):
		entries = t.list(several, "methods")
		if m := t.members[several].value; m.kind == list && len(m.items) == 0 {
			t.r.fault(m.at, "%s must name at least one method", t.name(several))
		}
	case !t.slips[one] && !t.slips[several]:
		t.r.fault(t.at, "a client needs token_endpoint_auth_method (spiffe_jwt, spiffe_x509 or spiffe_wit) or auth_methods (a list of them)")
	}
	var methods []oauth.AuthMethod
	for _, e := range entries {
		method := oauth.AuthMethod(e.text)
		switch {
		case method == oauth.MethodNone && t.has(one):
			methods = append(methods, method)
		case method == oauth.MethodNone:
			t.r.fault(e.at, "the method none stands alone, in token_endpoint_auth_method: a client with it authenticates in no way")
		case slices.Contains(authMethods, method):
			methods = append(methods, method)
		default:
			t.r.fault(e.at, "the method must be spiffe_jwt, spiffe_x509 or spiffe_wit, not %s%s", quoted(e.text), t.r.meant(e.text, []string{string(oauth.MethodJWT), string(oauth.MethodX509), string(oauth.MethodWIT)}))
		}
	}
	return methods
}

// grantTypes are those that work.
var grantTypes = []oauth.GrantType{oauth.GrantClientCredentials, oauth.GrantAuthorizationCode, oauth.GrantRefreshToken}

// laterGrants are the grant types of the contract that are refused as such, not
// as unknown words.
var laterGrants = []string{
	"urn:ietf:params:oauth:grant-type:device_code",
	"urn:ietf:params:oauth:grant-type:jwt-bearer",
	"urn:ietf:params:oauth:grant-type:token-exchange",
}

func readGrantTypes(t *table) []oauth.GrantType {
	if !t.has("grant_types") {
		return []oauth.GrantType{oauth.GrantClientCredentials}
	}
	if m := t.members["grant_types"].value; m.kind == list && len(m.items) == 0 {
		t.r.fault(m.at, "%s must name at least one grant type", t.name("grant_types"))
	}
	var grants []oauth.GrantType
	for _, e := range t.list("grant_types", "grant types") {
		switch {
		case slices.Contains(grantTypes, oauth.GrantType(e.text)):
			grants = append(grants, oauth.GrantType(e.text))
		case slices.Contains(laterGrants, e.text):
			t.r.fault(e.at, "the grant type %s %s", e.text, later)
		default:
			t.r.fault(e.at, "the grant type must be client_credentials, authorization_code or refresh_token, not %s", quoted(e.text))
		}
	}
	return grants
}

// methods judges each method against the listeners and the profile.
func (cr *clientReader) methods(t *table, c *Client) {
	place := "token_endpoint_auth_method"
	if t.has("auth_methods") {
		place = "auth_methods"
	}
	if slices.Contains(c.Methods, oauth.MethodX509) && !t.r.certificates {
		t.r.fault(t.place(place), "spiffe_x509 needs a listener that asks for client certificates: listen.mtls or public_client_certificates")
	}
	if slices.Contains(c.Methods, oauth.MethodWIT) {
		switch {
		case !c.Profile.AllowsWIT():
			t.r.fault(t.place(place), "profile %s has no spiffe_wit", c.Profile)
		case cr.domains.withoutWIT[c.SPIFFEID.TrustDomain()]:
			t.r.fault(t.place(place), "spiffe_wit is switched off for the trust domain %s (enable_wit)", quoted(c.SPIFFEID.TrustDomain().Name()))
		}
	}
	if !c.SPIFFEID.Wildcard() {
		if c.Profile.ClientIDIsSPIFFEID(oauth.MethodX509) && slices.Contains(c.Methods, oauth.MethodX509) && !c.SPIFFEID.IsZero() && c.ClientID != c.SPIFFEID.String() {
			t.r.warn(t.place("client_id"), "profile %s wants a client_id that is the SPIFFE ID of the certificate, so %s cannot authenticate with spiffe_x509 (CX-3)", c.Profile, quoted(c.ClientID))
		}
		return
	}
	for _, m := range c.Methods {
		if !c.Profile.AllowsWildcard(m) {
			t.r.fault(t.place("spiffe_id"), "%s is a wildcard, which profile %s does not allow with %s; profiles that do are %s", quoted(c.SPIFFEID.String()), c.Profile, m, allowing(m))
			return
		}
	}
}

// allowing are the profiles that allow a wildcard with a method.
func allowing(m oauth.AuthMethod) string {
	var all []string
	for _, p := range svidgate.Profiles {
		if p.AllowsWildcard(m) {
			all = append(all, string(p))
		}
	}
	return strings.Join(all, ", ")
}
