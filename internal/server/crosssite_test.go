package server

import (
	"net/http"
	"net/url"
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
