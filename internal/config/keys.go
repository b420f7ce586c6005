package config

import (
	"slices"
	"strings"
)

// A key is one key of a table, by its name in the contract.
type key struct {
	name     string
	required bool
	refused  string // why the key cannot be used; empty when it can
	unused   bool   // the key is accepted and does nothing yet, which is warned of
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
		{name: "admin", unused: true},
		{name: "store"},
		{name: "audit"},
		{name: "keys"},
		{name: "log"},
		{name: "svid"},
		{name: "wit", refused: later},
		{name: "access_token"},
		{name: "binding"},
		{name: "limits"},
		{name: "login", refused: later},
		{name: "trust_domains"},
		{name: "resources"},
		{name: "clients"},
	},
	"listen":       {{name: "public", required: true}, {name: "mtls"}, {name: "status"}},
	"tls":          {{name: "certificate", required: true}, {name: "key", required: true}},
	"audit":        {{name: "file"}, {name: "fsync"}},
	"keys":         {{name: "file"}},
	"log":          {{name: "level"}},
	"svid":         svidKeys,
	"access_token": {{name: "lifetime"}, {name: "alg"}},
	"limits":       {{name: "failures_per_source"}, {name: "requests_per_client"}},

	"trust_domains.<name>": {
		{name: "spiffe_bundle_endpoint"},
		{name: "bundle_file"},
		{name: "workload_api", refused: later + "; use spiffe_bundle_endpoint or bundle_file"},
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
		{name: "endpoint_spiffe_id", refused: later + "; it belongs to profile https_spiffe"},
		{name: "initial_bundle_file", refused: later + "; it belongs to profile https_spiffe"},
	},
	"trust_domains.<name>.refresh": {{name: "min"}, {name: "max"}},
	"trust_domains.<name>.svid":    svidKeys,
	"trust_domains.<name>.registration": {
		{name: "mode"},
		{name: "allow", refused: later + "; it belongs to mode first_use"},
		{name: "deny", refused: later + "; it belongs to mode first_use"},
		{name: "grants", refused: later + "; it belongs to mode first_use"},
		{name: "resources", refused: later + "; it belongs to mode first_use"},
		{name: "scope", refused: later + "; it belongs to mode first_use"},
		{name: "max_clients", refused: later + "; it belongs to mode first_use"},
	},

	"resources[]": {{name: "resource", required: true}, {name: "scopes"}, {name: "lifetime"}, {name: "binding"}},

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
		{name: "introspects", refused: later},
		{name: "redirect_uris", refused: later},
		{name: "client_secret", refused: "is not for this server: a client authenticates with its SVID and has no secret (MD-24)"},
		{name: "spiffe_bundle_endpoint", refused: "is not believed of a client (MD-13); configure the endpoint under trust_domains"},
	},
}

var svidKeys = []key{{name: "leeway"}, {name: "max_assertion_lifetime"}, {name: "require_kid"}}

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

// nearest returns the name that a slip of the pen most likely meant, or nothing
// when none is near. Case and the choice between - and _ do not count.
func nearest(written string, names []string) string {
	const longest = 40 // no key is longer, and the work grows with the square
	if len(written) > longest {
		return ""
	}
	plain := strings.ReplaceAll(strings.ToLower(written), "-", "_")
	best, distance := "", 1+len(plain)/4
	for _, name := range names {
		if d := edits(plain, name); d < distance || d == distance && best == "" {
			best, distance = name, d
		}
	}
	return best
}

// edits counts the insertions, deletions, replacements and swaps of neighbours
// that turn a into b.
func edits(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			change := last[j]
			if a[i] != b[j] {
				change++
			}
			row[j+1] = min(change, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}

func isKey(keys []key, name string) bool {
	return slices.ContainsFunc(keys, func(k key) bool { return k.name == name })
}
