package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/login"
	"github.com/svidgate/svidgate/internal/page"
	"github.com/svidgate/svidgate/internal/store/sqlite"
	"github.com/svidgate/svidgate/internal/testidentity"
)

// AZ-12 What another site makes a browser do here counts for nothing: no form that it
// sends, and no link of it to a provider.
func TestOtherSites(t *testing.T) {
	s := newCodeSite(t)
	var err error
	providers := []login.ProviderConfig{{Name: "corp", Issuer: "https://127.0.0.1:1/", ClientID: "svidgate", Scopes: []string{"openid"}}}
	if s.server.config.Desk, err = login.New(login.Config{State: s.config.Store.(*sqlite.Store).People(), Providers: providers, Now: s.Clock.Now}); err != nil {
		t.Fatal(err)
	}
	h := s.server.Public()
	for site, ours := range map[string]bool{"": true, "same-origin": true, "none": true, "same-site": false, "cross-site": false} {
		from := func(r *http.Request) {
			if site != "" {
				r.Header.Set("Sec-Fetch-Site", site)
			}
		}
		t.Run("AZ-12 a form, "+site, func(t *testing.T) {
			before := len(s.lines(t))
			w := post(h, url.Values{}, nil, from, func(r *http.Request) { r.URL.Path = page.PathLogout })
			if ours && w.Code != http.StatusSeeOther {
				t.Errorf("status %d: %s", w.Code, w.Body)
			}
			if ours {
				return
			}
			if lines := s.lines(t); len(lines) == before || s.last(t)["reason"] != "cross_origin" || s.last(t)["rule"] != "AZ-12" {
				t.Errorf("status %d, recorded %v", w.Code, lines[before:])
			}
		})
		t.Run("AZ-12 a link, "+site, func(t *testing.T) {
			w := get(h, testidentity.Issuer+page.PathStart+"?provider=corp", from)
			reason := "provider_unavailable" // it was on its way there
			if !ours {
				reason = "cross_origin"
			}
			if line := s.last(t); line["reason"] != reason || line["rule"] != "AZ-12" {
				t.Errorf("status %d, recorded %v", w.Code, line)
			}
		})
	}
}

// AZ-12 PX-7 A browser too old to say where a form comes from sends Origin, which is the
// issuer's or another: what a request calls its Host makes no page one of ours, and no page that
// came without TLS is.
func TestFormsOfOldBrowsers(t *testing.T) {
	s := newCodeSite(t)
	h := s.server.Public()
	for _, row := range []struct {
		name, origin, host, site string
		ours                     bool
	}{
		{"ours", testidentity.Issuer, "", "", true},
		{"ours, and another Host", testidentity.Issuer, "as.internal", "", true},
		{"none", "", "", "", true},
		{"null of ours", "null", "", "same-origin", true}, // Referrer-Policy: no-referrer makes it null
		{"null", "null", "", "", false},
		{"without TLS", "http" + strings.TrimPrefix(testidentity.Issuer, "https"), "", "", false},
		{"another port", testidentity.Issuer + ":8443", "", "", false},
		{"another site, and its Host", "https://evil.example.com", "evil.example.com", "", false},
		{"ours, and the browser says otherwise", testidentity.Issuer, "", "cross-site", false},
	} {
		t.Run("AZ-12 "+row.name, func(t *testing.T) {
			w := post(h, url.Values{}, nil, func(r *http.Request) {
				r.URL.Path = page.PathLogout
				for name, value := range map[string]string{"Origin": row.origin, "Sec-Fetch-Site": row.site} {
					if value != "" {
						r.Header.Set(name, value)
					}
				}
				if row.host != "" {
					r.Host = row.host
				}
			})
			if row.ours {
				if w.Code != http.StatusSeeOther {
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
				return
			}
			if line := s.last(t); w.Code != http.StatusBadRequest || line["reason"] != "cross_origin" || line["rule"] != "AZ-12" {
				t.Errorf("status %d, recorded %v", w.Code, line)
			}
		})
	}
	for issuer, origin := range map[string]string{
		"https://as.example.com":          "https://as.example.com",
		"https://as.example.com/t1":       "https://as.example.com",
		"https://AS.example.com:443":      "https://as.example.com",
		"https://as.example.com:8443/t1/": "https://as.example.com:8443",
	} {
		if got := originOf(issuer); got != origin {
			t.Errorf("RFC 6454 6.1: the origin of %s is %s", issuer, got)
		}
	}
}
