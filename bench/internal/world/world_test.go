package world

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/config"
)

// A configuration that was put together is the same as the one that was read.
func TestConfigIsWhatTheFileSays(t *testing.T) {
	w, err := Make(t.TempDir(), 1)
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	built, err := w.Config(state, 20, 1, Anywhere)
	if err != nil {
		t.Fatal(err)
	}
	file, err := w.WriteYAML(state, 20, Anywhere)
	if err != nil {
		t.Fatal(err)
	}
	read, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	pattern := cmp.Comparer(func(a, b svidgate.Pattern) bool { return a.String() == b.String() })
	ids := cmpopts.EquateComparable(spiffeid.TrustDomain{}, spiffeid.ID{})
	if diff := cmp.Diff(read.TrustDomains, built.TrustDomains, ids); diff != "" {
		t.Error(diff)
	}
	byID := func(clients []config.Client) map[string]config.Client {
		m := map[string]config.Client{}
		for _, c := range clients {
			m[c.ClientID] = c
		}
		return m
	}
	if diff := cmp.Diff(byID(read.Clients), byID(built.Clients), pattern); diff != "" || len(built.Clients) != 20+X509Clients {
		t.Error(len(built.Clients), diff)
	}
}

// Another process finds what the first one made.
func TestOpen(t *testing.T) {
	dir := t.TempDir()
	made, err := Make(dir, 3)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(opened.Domains) != 3 || len(opened.SVIDs) != X509Clients || !opened.Roots.Equal(made.Roots) {
		t.Errorf("%d trust domains, %d X.509-SVIDs", len(opened.Domains), len(opened.SVIDs))
	}
	for n, d := range opened.Domains {
		if d.Name != made.Domains[n].Name || d.keyID != made.Domains[n].keyID {
			t.Errorf("trust domain %d: %s %s", n, d.Name, d.keyID)
		}
	}
	if _, err := Open(t.TempDir()); err == nil {
		t.Error("an empty folder is opened")
	}
}

// No two forms are alike, and as many clients as possible take part.
func TestJWTForms(t *testing.T) {
	w, err := Make(t.TempDir(), 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ forms, clients, want int }{{50, 1, 1}, {50, 7, 7}, {50, 1000, 50}} {
		forms, err := w.JWTForms(row.forms, row.clients, 1, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		different, clients, domains := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, f := range forms {
			form, err := url.ParseQuery(f)
			if err != nil {
				t.Fatal(err)
			}
			id := spiffeid.RequireFromString(form.Get("client_id"))
			different[form.Get("client_assertion")], clients[id.String()], domains[id.TrustDomain().Name()] = true, true, true
			if strings.Count(form.Get("client_assertion"), ".") != 2 {
				t.Fatal("an assertion is no JWT")
			}
		}
		if len(different) != row.forms || len(clients) != row.want || row.clients > 1 && len(domains) != 2 {
			t.Errorf("%d of %d clients: %d different, of %d clients in %d trust domains", row.forms, row.clients, len(different), len(clients), len(domains))
		}
	}
}
