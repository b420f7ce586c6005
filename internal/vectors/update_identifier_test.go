package vectors

import "strings"

// The library that makes the identifiers refuses on its own what our rules on
// the characters refuse (SI-15 is the rule that it is asked); the two lengths are
// ours alone.
func writeSPIFFEIDs(w *writer) {
	w.family("spiffe-id", "Whether a text is a SPIFFE ID: of a workload, which has a path, or any.")
	type in struct {
		Text string `json:"text"`
		Of   string `json:"of"`
	}
	workload := func(text string) in { return in{text, "workload"} }
	none := expectation{}

	w.good("workload", "an ordinary one", workload("spiffe://example.org/billing"), none)
	w.bad("trust-domain-as-workload", "a trust domain is nobody", workload("spiffe://example.org"), none, "SI-12")
	w.bad("scheme-upper-case", "one spelling only", workload("SPIFFE://example.org/billing"), none, "SI-10", "SI-15")
	w.bad("query", "a query", workload("spiffe://example.org/billing?x=y"), none, "SI-2", "SI-7", "SI-15")
	w.bad("query-empty", "a bare question mark is a query", workload("spiffe://example.org/billing?"), none, "SI-2", "SI-7", "SI-15")
	w.bad("fragment-empty", "a bare number sign is a fragment", workload("spiffe://example.org/billing#"), none, "SI-2", "SI-7", "SI-15")
	w.bad("user-information", "user information", workload("spiffe://user@example.org/billing"), none, "SI-3", "SI-4", "SI-15")
	w.bad("port", "a port", workload("spiffe://example.org:8443/billing"), none, "SI-3", "SI-4", "SI-15")
	w.bad("trust-domain-empty", "three slashes", workload("spiffe:///billing"), none, "SI-3", "SI-15")
	w.bad("trust-domain-upper-case", "never folded, refused", workload("spiffe://Example.org/billing"), none, "SI-4", "SI-15")
	w.bad("trust-domain-encoded", "percent-encoding", workload("spiffe://example%2eorg/billing"), none, "SI-4", "SI-15")
	w.bad("trust-domain-lax", "a character of the lax build of the common library", workload("spiffe://example~org/billing"), none, "SI-4", "SI-15")
	w.bad("path-slash-at-end", "a slash at the end", workload("spiffe://example.org/billing/"), none, "SI-7", "SI-15")
	w.bad("path-empty-segment", "two slashes", workload("spiffe://example.org//billing"), none, "SI-7", "SI-15")
	w.bad("path-dot-segment", "a dot segment", workload("spiffe://example.org/a/../billing"), none, "SI-7", "SI-15")
	w.bad("path-encoded", "percent-encoding", workload("spiffe://example.org/b%69lling"), none, "SI-7", "SI-15")
	w.bad("path-not-ascii", "letters of another alphabet", workload("spiffe://example.org/bílling"), none, "SI-7", "SI-15")

	w.good("longest-trust-domain", "255 bytes", workload("spiffe://"+strings.Repeat("a", 255)+"/billing"), none)
	w.bad("trust-domain-too-long", "256 bytes", workload("spiffe://"+strings.Repeat("a", 256)+"/billing"), none, "SI-6")

	prefix := "spiffe://example.org/"
	w.good("longest", "2048 bytes", workload(prefix+strings.Repeat("a", 2048-len(prefix))), none, "SI-8")
	w.bad("too-long", "2049 bytes", workload(prefix+strings.Repeat("a", 2049-len(prefix))), none, "SI-9")

	w.good("address", "what looks like an address is judged like any other", workload("spiffe://192.0.2.1/billing"), none, "SI-5")
	w.bad("address-in-brackets", "a bracket is no character of the list", workload("spiffe://[2001:db8::1]/billing"), none, "SI-4", "SI-15")

	w.good("trust-domain", "any identifier may have no path", in{"spiffe://example.org", "any"}, none, "SI-11")
	w.bad("scheme-missing", "a bare name", in{"example.org", "any"}, none, "SI-1", "SI-10", "SI-3", "SI-15")
	w.bad("scheme-other", "another scheme", in{"https://example.org", "any"}, none, "SI-1", "SI-10", "SI-3", "SI-15")
}

func writeTrustDomains(w *writer) {
	w.family("trust-domain", "Whether a text names a trust domain, as an operator writes it in a configuration.")
	type in struct {
		Text string `json:"text"`
	}
	none := expectation{}
	w.good("bare", "the name", in{"example.org"}, none, "SI-13")
	w.bad("path", "a path after it", in{"example.org/billing"}, none, "SI-13")
	w.bad("query", "a query after it", in{"example.org?x"}, none, "SI-13", "SI-2", "SI-4", "SI-15")
	w.good("id", "spiffe:// and the name", in{"spiffe://example.org"}, none, "SI-13")
	w.bad("id-with-path", "the identifier of a workload", in{"spiffe://example.org/billing"}, none, "SI-13")
	w.bad("id-with-slash", "a slash after it", in{"spiffe://example.org/"}, none, "SI-13", "SI-7", "SI-15")
	w.bad("other-scheme", "a URL of something else", in{"https:example.org"}, none, "SI-3", "SI-4", "SI-15")
	w.bad("empty", "nothing", in{""}, none, "SI-3", "SI-15")
}
