package vectors

func writePatterns(w *writer) {
	w.family("pattern", "Whether a text is a value of the client metadata member spiffe_id, and which SPIFFE IDs it stands for.")
	type in struct {
		Pattern  string `json:"pattern"`
		Depth    int    `json:"depth,omitempty"`
		SPIFFEID string `json:"spiffe_id,omitempty"`
	}
	none, syntax, different := expectation{}, expectation{Reason: "pattern"}, expectation{Reason: noMatch}

	w.good("exact", "one SPIFFE ID", in{Pattern: billing}, none, "MD-10")
	w.bad("exact-trust-domain", "which has to be a workload's", in{Pattern: "spiffe://example.org"}, syntax, "SI-12")
	w.good("wildcard", "everything below a prefix", in{Pattern: billing + "/*"}, none, "MD-15")
	w.bad("asterisk-in-segment", "an asterisk within a segment", in{Pattern: billing + "*"}, syntax, "MD-15", "SI-7", "SI-15")
	w.bad("asterisk-in-the-middle", "one within the path", in{Pattern: "spiffe://example.org/*/billing"}, syntax, "MD-15", "SI-7", "SI-15")
	w.bad("asterisk-twice", "two of them", in{Pattern: billing + "/*/*"}, syntax, "MD-15", "MD-16", "SI-7", "SI-15")
	w.bad("asterisk-trust-domain", "one for a trust domain", in{Pattern: "spiffe://*/billing"}, syntax, "MD-15", "SI-4", "SI-15")
	w.bad("prefix-malformed", "what precedes it is no SPIFFE ID", in{Pattern: "spiffe://Example.org/billing/*"}, syntax, "MD-16")
	w.bad("prefix-empty-segment", "two slashes before it", in{Pattern: billing + "//*"}, syntax, "MD-16")
	w.bad("prefix-scheme", "another scheme", in{Pattern: "https://example.org/*"}, syntax, "MD-16")

	w.good("match-exact", "the very identifier", in{Pattern: billing, SPIFFEID: billing}, none, "MD-19")
	w.bad("exact-below", "an identifier below it is another one", in{Pattern: billing, SPIFFEID: billing + "/db"}, different, "MD-19")
	w.bad("exact-other", "so is any other", in{Pattern: billing, SPIFFEID: "spiffe://example.org/orders"}, different, "MD-19")
	w.good("match-below", "a segment below the prefix", in{Pattern: billing + "/*", SPIFFEID: billing + "/db"}, none, "MD-17")
	w.bad("wildcard-itself", "the prefix itself is not below it", in{Pattern: billing + "/*", SPIFFEID: billing}, different, "MD-17")
	w.bad("wildcard-part-of-segment", "segments count whole", in{Pattern: billing + "/*", SPIFFEID: billing + "-test/db"}, different, "MD-17")
	w.bad("wildcard-trust-domain", "another trust domain", in{Pattern: billing + "/*", SPIFFEID: "spiffe://other.test/billing/db"}, different, "MD-17")
	w.good("match-deep", "to any depth", in{Pattern: billing + "/*", SPIFFEID: billing + "/db/a/b"}, none, "MD-18")
	w.good("match-depth", "to the depth that was set", in{Pattern: billing + "/*", Depth: 2, SPIFFEID: billing + "/db/a"}, none, "MD-18")
	w.bad("too-deep", "and no deeper", in{Pattern: billing + "/*", Depth: 2, SPIFFEID: billing + "/db/a/b"}, different, "MD-18")
	w.good("whole-trust-domain", "every workload of a trust domain", in{Pattern: "spiffe://example.org/*", SPIFFEID: billing}, none, "MD-21")
	w.bad("whole-other-trust-domain", "a longer name of one", in{Pattern: "spiffe://example.org/*", SPIFFEID: "spiffe://example.org.attacker.test/billing"}, different, "MD-17")
}
