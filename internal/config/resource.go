package config

import (
	"time"

	"github.com/svidgate/svidgate/internal/policy"
)

// A Resource is one entry of `resources`: an API that tokens are for.
type Resource struct {
	// Resource, `resource`, required: its identifier, an absolute URI without a
	// fragment (RFC 8707 section 2). It is the audience of its tokens and is
	// compared byte for byte.
	Resource string
	// Scopes, `scopes`, default none: the scopes the API knows.
	Scopes []string
	// Lifetime, `lifetime`, default access_token.lifetime and never longer: of
	// its tokens.
	Lifetime time.Duration
	// Binding, `binding`, default empty: it says nothing.
	Binding policy.BindingMode
	// Title, `title`, default none: what people are told that it is.
	Title string
	// ScopeTitles, `scope_titles`, default none: what people are told that a scope
	// lets a client do.
	ScopeTitles map[string]string
}

// resources says what clients may name.
type resources struct {
	unreadable bool // the list could not be read, so nothing is known
	unnamed    bool // some identifier could not be read, so not every one is known
	uris       []string
	scopes     map[string]bool // of all resources
	scopeList  []string
	byURI      map[string]map[string]bool // the scopes of each
}

const resourceForm = "an absolute URI without a fragment, such as https://api.example.com/"

func (r *reader) readResources(t *table, cfg *Config) resources {
	known := resources{scopes: map[string]bool{}, byURI: map[string]map[string]bool{}}
	if m, there := t.members["resources"]; there && m.value.kind != list {
		known.unreadable = true
	}
	lines := map[string]int{}
	t.each("resources", func(t *table) {
		res := Resource{
			Lifetime: t.duration("lifetime", span{cfg.AccessToken.Lifetime, time.Second, cfg.AccessToken.Lifetime, false}),
			Binding:  t.binding(""),
		}
		own := map[string]bool{}
		for _, s := range t.list("scopes", "scopes") {
			if badScope(s.text) {
				r.fault(s.at, "%s must be words of printable ASCII without spaces, quotes and backslashes, not %s", t.name("scopes"), quoted(s.text))
			}
			// Known even when it is faulty: a client that names it is not wrong, too.
			known.scopes[s.text], own[s.text] = true, true
			known.scopeList = append(known.scopeList, s.text)
			res.Scopes = append(res.Scopes, s.text)
		}
		res.Title, res.ScopeTitles = t.title("title", ""), t.scopeTitles(own)
		uri, ok := t.text("resource", resourceForm)
		if !ok {
			known.unreadable = true // which clients may name it is not known
			return
		}
		first, twice := lines[uri]
		switch {
		case badResource(uri):
			t.mustBe("resource", resourceForm)
			known.unnamed = true
		case twice:
			r.fault(t.place("resource"), "the resource %s is configured twice; the first is on line %d", quoted(uri), first)
		}
		res.Resource = uri
		lines[uri] = t.place("resource").line
		known.byURI[uri] = own
		known.uris = append(known.uris, uri)
		cfg.Resources = append(cfg.Resources, res)
	})
	return known
}
