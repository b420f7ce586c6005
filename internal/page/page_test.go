package page_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/page"
)

// hostile is what a peer would have on a page.
const hostile = `"><script>alert(1)</script><img src=x onerror=alert(1)>' javascript:alert(1) {{.}}`

// TestEscapes: whatever a page is given, it has no script, no markup of others and
// no link to where they want.
func TestEscapes(t *testing.T) {
	pages, err := page.New("https://as.example.com/tenant")
	if err != nil {
		t.Fatal(err)
	}
	client := page.Client{Name: hostile, ID: hostile, Back: hostile}
	for name, make := range map[string]func() (page.Page, error){
		"sign-in": func() (page.Page, error) {
			return pages.SignIn(page.SignIn{Client: &client, Request: hostile, Local: true, Choices: []page.Choice{{Name: hostile, Title: hostile}}, User: hostile, Problem: hostile})
		},
		"consent": func() (page.Page, error) {
			return pages.Consent(page.Consent{Client: client, Resource: hostile, Title: hostile, Scope: []page.Scope{{hostile, hostile}, {hostile, ""}}, User: hostile, Subject: hostile, Request: hostile, Person: hostile, Shown: hostile, Leads: "https:"})
		},
		"consent without names": func() (page.Page, error) {
			return pages.Consent(page.Consent{Client: page.Client{ID: hostile}, Resource: hostile, User: hostile})
		},
		"failed": func() (page.Page, error) {
			return pages.Failed(page.Failed{Sentence: hostile, RequestID: hostile, OnLabel: hostile, OnLink: "javascript:alert(1)"})
		},
		"account": func() (page.Page, error) {
			return pages.Account(page.Account{User: hostile, Subject: hostile, Person: hostile, Notice: hostile, Apps: []page.App{{hostile, hostile, []page.AppEntry{{hostile, hostile, []page.Scope{{Name: hostile, Words: hostile}}, time.Now()}}}}})
		},
		"plain": func() (page.Page, error) {
			return pages.Plain(page.Plain{Heading: hostile, Sentence: hostile, OnLabel: hostile, OnLink: "javascript:alert(1)", Button: hostile, Person: hostile})
		},
		"signed in": func() (page.Page, error) {
			return pages.SignedIn(page.SignedIn{Client: client, Next: "javascript:alert(1)"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			made, err := make()
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			made.Write(w, 200)
			body := w.Body.String()
			for _, bad := range []string{"<script", "<img", `href="javascript`, "url=javascript", "style=", "onerror=alert(1)>"} {
				if strings.Contains(strings.ToLower(body), bad) {
					t.Errorf("the page has %s:\n%s", bad, body)
				}
			}
			for _, good := range []string{`<html lang="en">`, "<title>", `href="/tenant/login/style-`, "<h1>", `name="viewport"`} {
				if !strings.Contains(body, good) {
					t.Errorf("the page has no %s", good)
				}
			}
			h := w.Header()
			csp := h.Get("Content-Security-Policy")
			if !strings.HasPrefix(csp, "default-src 'none'; style-src 'self'; form-action 'self'") || !strings.Contains(csp, "frame-ancestors 'none'; base-uri 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("AZ-11 the policy is %q", csp)
			}
			if h.Get("X-Frame-Options") != "DENY" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" {
				t.Errorf("AZ-11 GL-6 the headers are %v", h)
			}
		})
	}
}

// Whoever does not see the page is told what went wrong, at the fields it is about.
func TestProblemBelongsToFields(t *testing.T) {
	pages, err := page.New("https://as.example.com")
	if err != nil {
		t.Fatal(err)
	}
	for problem, want := range map[string]int{"": 0, "The user name or the password is wrong.": 2} {
		made, err := pages.SignIn(page.SignIn{Local: true, Problem: problem})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		made.Write(w, 200)
		body := w.Body.String()
		if n := strings.Count(body, `aria-describedby="problem"`); n != want || strings.Contains(body, `id="problem" role="alert"`) != (want > 0) {
			t.Errorf("%q belongs to %d fields, want %d:\n%s", problem, n, want, body)
		}
	}
}

// The style sheet is found under a name that changes with it, and kept for ever.
func TestStyle(t *testing.T) {
	pages, err := page.New("https://as.example.com/tenant/")
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	pages.ServeStyle(w)
	if w.Header().Get("Content-Type") != "text/css; charset=utf-8" || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
		t.Errorf("the headers are %v", w.Header())
	}
	if !strings.HasPrefix(pages.StylePath(), "/tenant/login/style-") || strings.Contains(w.Body.String(), "url(") || strings.Contains(w.Body.String(), "@import") {
		t.Error("it is not of this server alone")
	}
	if _, err := page.New("as.example.com"); err == nil {
		t.Error("an issuer without a host has pages")
	}
}
