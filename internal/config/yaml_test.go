package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/config"
)

// TestWrongYAML has rows below the three lines of server.
func TestWrongYAML(t *testing.T) {
	check(t, server, []wrong{
		{"tab as indentation", "audit:\n  file: a\n", "audit:\n\tfile: a\n", `5:1: not valid YAML: a tab stands where the indentation is; indent with spaces`},
		{"quote not closed", "profile: \"seed\"\n", "profile: \"seed\n", `4:10: not valid YAML: the quote here is never closed`},
		{"bracket not closed", "clients: []\n", "clients: [\n", `4:10: not valid YAML: the [ here is never closed`},
		{"value where a key belongs", "profile: seed\n", "profile: seed\nseed\n", `5:1: not valid YAML: a key with a colon and a space after it belongs here`},
		{"anchor", "audit: {file: a&b}\n", "audit: &a {file: b}\n", `4:8: an anchor (&) is not allowed; write the value out each time`},
		{"alias", "audit: {file: \"*a\"}\n", "audit: {file: *a}\n", `4:15: an alias (*) is not allowed; write the value out, or put it in quotes if it begins with *`},
		{"merge key", "audit: {}\n", "audit: {<<: {file: a}}\n", `4:9: a merge key (<<) is not allowed; write the keys out`},
		{"tag", "audit: {file: a!b}\n", "audit: {file: !!str a}\n", `4:15: a tag (!) is not allowed; put the value in quotes if it begins with !`},
		{"second document", "# ---\n", "---\nprofile: seed\n", `4:1: a second YAML document begins here; a configuration is one document`},
		{"key that is a list", "audit: {}\n", "? [audit]\n: {}\n", `5:1: not valid YAML: found an invalid key for this map`},
		{"key after a question mark", "audit: {}\n", "? audit\n: {}\n", `4:1: a key must be a plain word or a text in quotes`},
		{"key that is null", "audit: {}\n", "~: {}\n", `4:1: a key must be a plain word or a text in quotes`},
		{"byte that is not UTF-8", "# ö\n", "# ö\xff\n", `4:4: the file must be UTF-8, but the byte 0xff here is not`},
		{"NUL", "# \n", "# \x00\n", `4:3: the control character U+0000 may not stand in a configuration`},
		{"mark of byte order inside", "# a\n", "# \ufeffa\n", `4:3: the control character U+FEFF may not stand in a configuration`},
		{"carriage return alone", "# a\r\n", "# a\rissuer: b\n", `4:4: a carriage return stands here without a line feed after it`},
		{"brackets 33 deep", nested("a", 1), nested("a", 33), `4:36: values are nested more than 32 deep here`},
		{"dashes 33 deep", "# " + strings.Repeat("- ", 33), "a:\n " + strings.Repeat("- ", 33) + "b\n", `5:66: values are nested more than 32 deep here`},
	})
	check(t, "", []wrong{
		{"empty file", server, "", `1:1: the configuration is empty; it needs at least issuer, listen and tls`},
		{"F48 empty table", server, "{}\n", "1:1: the required key \"issuer\" is missing\n1:1: the required key \"listen\" is missing\n1:1: the required key \"tls\" is missing"},
		{"list for a file", server, "- a\n", `1:1: a configuration must be a table of keys, not a list`},
		{"text for a file", server, "issuer\n", `1:1: a configuration must be a table of keys, not "issuer"`},
		{"directive", "---\n" + server, "%YAML 1.2\n---\n" + server, `1:1: a directive (%) is not allowed`},
		{"windows lines, and what is wrong in the third", strings.ReplaceAll(server, "\n", "\r\n"), "issuer: https://as.example.com\r\nlisten: {public: \":1\"}\r\ntls: as.crt\r\n", `3:6: tls must be a table of keys, not "as.crt"`},
		{"columns are characters", server, "issuer: https://as.example.com\nlisten: {public: \":1\"}\ntls: {certificate: äöü, kye: as.key}\n", `3:25: unknown key "kye"; did you mean "key"?`},
		{"columns after a mark of byte order", "\ufeff" + server, "\ufeffisuer: https://as.example.com\nlisten: {public: \":1\"}\ntls: {certificate: a, key: b}\n", `1:1: unknown key "isuer"; did you mean "issuer"?`},
	})
}

// nested is an accepted text, or one deep in brackets from column 4 on.
func nested(key string, depth int) string {
	if depth == 1 {
		return "clients: []\n"
	}
	return key + ": " + strings.Repeat("[", depth) + strings.Repeat("]", depth) + "\n"
}

func TestWrongSize(t *testing.T) {
	fill := func(size int) string { return server + "#" + strings.Repeat("x", size-len(server)-1) }
	check(t, "", []wrong{
		{"a byte more than 1 MiB", fill(1 << 20), fill(1<<20 + 1), `1:1: the file has more than 1048576 bytes`},
	})
}

// TestTokenBomb: what would grow a thousandfold is refused before it grows.
func TestTokenBomb(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i+1, i+1, i, i, i, i)
	}
	got := faults(t, b.String())
	if n := strings.Count(got, "\n") + 1; n != 10+9*4 {
		t.Errorf("%d faults, want one for each anchor and alias:\n%s", n, got)
	}
	for _, deep := range []string{"[", "{a: ", "- ", "? ", "!a ", "&a "} {
		if _, err := config.Parse("a.yaml", []byte(strings.Repeat(deep, 100_000))); err == nil {
			t.Errorf("%q without end is accepted", deep)
		}
	}
}

// TestJSON: a JSON file is a configuration, and the table of the founding draft
// (5.1.1) stands in one unchanged, however it is pasted.
func TestJSON(t *testing.T) {
	const draft = `{
  "example.org": {
    "spiffe_bundle_endpoint": {
      "url": "https://example.com/bundle.json"
    }
  }
}
`
	indented := "  " + strings.TrimSuffix(strings.ReplaceAll(draft, "\n", "\n  "), "  ")
	tabs := strings.ReplaceAll(draft, "  ", "\t")
	for name, data := range map[string]string{
		"a whole file":                    `{"issuer": "https:\/\/as.example.com", "listen": {"public": "127.0.0.1:0"}, "tls": {"certificate": "a", "key": "b"}, "trust_domains": ` + draft + "}",
		"a whole file with tabs":          "{\n\t\"issuer\": \"https://as.example.com\",\n\t\"listen\": {\"public\": \":0\"}, \"tls\": {\n\t\t\"certificate\": \"a\", \"key\": \"b\"},\n\t\"trust_domains\": " + tabs + "}",
		"on the same line":                server + "trust_domains: " + draft,
		"indented":                        server + "trust_domains:\n" + indented,
		"in column 1":                     server + "trust_domains:\n" + draft,
		"in column 1 with tabs":           server + "trust_domains:\n" + tabs,
		"in column 1 below a comment":     server + "trust_domains: # the draft's\n\n# table\n" + draft,
		"in column 1 before more keys":    server + "trust_domains:\n" + draft + "profile: seed\n",
		"in column 1 without indentation": server + "trust_domains:\n" + strings.ReplaceAll(draft, "  ", ""),
		"in column 1 with windows lines":  strings.ReplaceAll(server+"trust_domains:\n"+draft, "\n", "\r\n"),
	} {
		cfg, err := config.Parse("a.yaml", []byte(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(cfg.TrustDomains) != 1 || cfg.TrustDomains[0].Name.Name() != "example.org" ||
			cfg.TrustDomains[0].BundleEndpoint.URL != "https://example.com/bundle.json" || !cfg.TrustDomains[0].BundleEndpoint.Redirects {
			t.Errorf("%s: %+v", name, cfg.TrustDomains)
		}
	}
	check(t, server+"trust_domains:\n", []wrong{
		{"a fault in what is pasted into column 1", draft, strings.Replace(draft, "url", "uri", 1), `8:7: unknown key "uri"; did you mean "url"?`},
		{"a name twice in what is pasted into column 1", draft, strings.Replace(draft, "\n}\n", ",\n\"spiffe://example.org\": {\"bundle_file\": \"b\"}\n}\n", 1), `11:1: the trust domain "example.org" is configured twice; the first is on line 6`},
		{"a brace too few in column 1", draft, strings.TrimSuffix(draft, "}\n"), `5:1: not valid YAML: the { here is never closed`},
	})
}
