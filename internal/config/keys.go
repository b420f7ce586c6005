package config

import "slices"

// A key is one key of a table, by its name in the contract.
type key struct {
	name     string
	required bool
	refused  string // why the key cannot be used; empty when it can
}

// later is how the keys of the contract are refused that this version knows and
// does not implement. None of them is passed over in silence: an operator who
// wrote one relies on it.
const later = "is not implemented in this version"

// tables are all keys of the contract, by the place where they stand.
var tables = map[string][]key{
	"": {
		{name: "issuer", required: true},
		{name: "profile"},
		{name: "security_profile", refused: later},
		{name: "listen", required: true},
		{name: "mtls_url"},
		{name: "public_client_certificates"},
		{name: "tls", required: true},
		{name: "admin"},
		{name: "store"},
		{name: "audit"},
		{name: "keys"},
		{name: "bundles"},
		{name: "log"},
		{name: "tracing"},
		{name: "svid"},
		{name: "wit"},
		{name: "access_token"},
		{name: "refresh_token"},
		{name: "require_pushed_authorization_requests"},
		{name: "binding"},
		{name: "limits"},
		{name: "login"},
		{name: "trust_domains"},
		{name: "resources"},
		{name: "clients"},
	},
	"listen":        {{name: "public", required: true}, {name: "mtls"}, {name: "status"}},
	"tls":           {{name: "certificate", required: true}, {name: "key", required: true}},
	"audit":         {{name: "file"}, {name: "fsync"}},
	"keys":          {{name: "file"}, {name: "rotate"}, {name: "publish_ahead"}, {name: "in"}, {name: "encryption_key_file"}},
	"bundles":       {{name: "folder"}},
	"log":           {{name: "level"}},
	"tracing":       {{name: "endpoint", required: true}, {name: "sample"}},
	"svid":          svidKeys,
	"wit":           {{name: "challenge"}},
	"access_token":  {{name: "lifetime"}, {name: "alg"}},
	"refresh_token": {{name: "rotation"}, {name: "idle"}, {name: "lifetime"}, {name: "grace"}},
	"limits":        {{name: "failures_per_source"}, {name: "requests_per_client"}},

	"login": {{name: "local"}, {name: "oidc"}},
	"login.oidc[]": {
		{name: "name", required: true},
		{name: "title"},
		{name: "issuer", required: true},
		{name: "client_id", required: true},
		{name: "client_secret_file"},
		{name: "client_secret", refused: "does not stand in a configuration; put it into a file and name that as client_secret_file"},
		{name: "ca_file"},
		{name: "scopes"},
		{name: "claims"},
		{name: "allow"},
	},
	"login.oidc[].claims":  {{name: "user"}, {name: "name"}},
	"login.oidc[].allow[]": {{name: "claim", required: true}, {name: "values", required: true}},

	"admin": {
		{name: "socket"},
		{name: "address", refused: later + "; use admin.socket"},
		{name: "tls", refused: later + "; use admin.socket"},
		{name: "allow", refused: later + "; use admin.socket"},
	},

	"trust_domains.<name>": {
		{name: "spiffe_bundle_endpoint"},
		{name: "bundle_file"},
		{name: "bundle_format"},
		{name: "workload_api"},
		{name: "refresh"},
		{name: "max_stale"},
		{name: "profile"},
		{name: "binding"},
		{name: "svid"},
		{name: "single_use"},
		{name: "enable_wit"},
		{name: "registration"},
	},
	"trust_domains.<name>.spiffe_bundle_endpoint": {
		{name: "url", required: true},
		{name: "profile"},
		{name: "ca_file"},
		{name: "redirects"},
		{name: "endpoint_spiffe_id"},
		{name: "initial_bundle_file"},
	},
	"trust_domains.<name>.workload_api": {{name: "address", required: true}},
	"trust_domains.<name>.refresh":      {{name: "min"}, {name: "max"}},
	"trust_domains.<name>.svid":         svidKeys,
	"trust_domains.<name>.registration": append([]key{
		{name: "mode"},
		{name: "deny"},
		{name: "max_clients"},
		{name: "new_clients"},
		{name: "idle"},
		{name: "templates"},
	}, templateKeys...),
	"trust_domains.<name>.registration.templates[]": templateKeys,

	"resources[]": {{name: "resource", required: true}, {name: "scopes"}, {name: "lifetime"}, {name: "binding"}, {name: "title"}, {name: "scope_titles"}},

	"clients[]": {
		{name: "client_id", required: true},
		{name: "spiffe_id"},
		{name: "spiffe_id_depth"},
		{name: "token_endpoint_auth_method"},
		{name: "auth_methods"},
		{name: "grant_types"},
		{name: "resources"},
		{name: "scope"},
		{name: "binding"},
		{name: "profile"},
		{name: "introspects"},
		{name: "redirect_uris"},
		{name: "client_name"},
		{name: "require_pushed_authorization_requests"},
		{name: "client_secret", refused: "is not for this server: a client authenticates with its SVID and has no secret (MD-24)"},
		{name: "spiffe_bundle_endpoint", refused: "is not believed of a client (MD-13); configure the endpoint under trust_domains"},
	},
}

var svidKeys = []key{{name: "leeway"}, {name: "max_assertion_lifetime"}, {name: "require_kid"}, {name: "strict_key_usage_critical"}}

func names(keys []key) []string {
	all := make([]string, len(keys))
	for i, k := range keys {
		all[i] = k.name
	}
	return all
}

// usable are the names of the keys that are not refused.
func usable(keys []key) []string {
	return names(slices.DeleteFunc(slices.Clone(keys), func(k key) bool { return k.refused != "" }))
}

func isKey(keys []key, name string) bool {
	return slices.ContainsFunc(keys, func(k key) bool { return k.name == name })
}

// placesOf are the full names of the keys that are called name, in order, as
// the manual spells them.
func placesOf(name string) []string {
	var all []string
	for place, keys := range tables {
		if place != "" && isKey(keys, name) {
			all = append(all, place+"."+name)
		}
	}
	slices.Sort(all)
	return all
}
