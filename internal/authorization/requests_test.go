package authorization_test

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	svidgate "github.com/svidgate/svidgate"
	"github.com/svidgate/svidgate/internal/authorization"
	"github.com/svidgate/svidgate/internal/store/storetest"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/oauth"
)

func pattern(t testing.TB, s string) svidgate.Pattern {
	t.Helper()
	p, err := svidgate.ParsePattern(s)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Where a fault may be told.
const (
	page     = "a page"
	redirect = "a redirect"
)

func TestRead(t *testing.T) {
	s := newSite(t)
	longState := strings.Repeat("s", 2048)
	for _, row := range []struct {
		name  string
		query string
		want  want
		where string
	}{
		{"AZ-2 a sound one", query(), accepted, ""},
		{"GL-5 unknown parameters", query("foo", "bar", "nonce", "n", "prompt", "none"), accepted, ""},
		{"GL-5 an empty scope is none", query("scope", "") + "&scope=", accepted, ""},
		{"AZ-9 no state", query("state", ""), accepted, ""},
		{"AZ-9 64 characters of state", query("state", strings.Repeat("a", 64)), accepted, ""},
		{"AZ-9 the longest state", query("state", longState), accepted, ""},
		{"RD-5 the only redirect_uri", query("redirect_uri", ""), accepted, ""},
		{"RD-5 one of several", query("client_id", "several", "redirect_uri", "https://app.example.com/b?c=d"), accepted, ""},
		{"RD-2 a port of one's own", query("client_id", "phone", "redirect_uri", "http://127.0.0.1:50001/cb"), accepted, ""},
		{"RI-1 the resource", query("resource", api), accepted, ""},
		{"RI-1 one of two resources", query("client_id", "other", "resource", "https://books.example.com/"), accepted, ""},

		{"AZ-8 client_id missing", query("client_id", ""), invalid(oauth.ReasonClientIDMissing, "CA-2"), page},
		{"AZ-8 client_id unknown", query("client_id", "nobody"), invalid(oauth.ReasonClientNotFound, "CA-2"), page},
		{"RF-7 a SPIFFE ID that nobody registered", query("client_id", "spiffe://example.org/new"), invalid(oauth.ReasonClientNotFound, "CA-2"), page},
		{"AK-24 two client_id", query() + "&client_id=other", invalid(oauth.ReasonRequestMalformed, "GL-4"), page},
		{"AK-24 two redirect_uri", query() + "&redirect_uri=https%3A%2F%2Fevil.test%2F", invalid(oauth.ReasonRequestMalformed, "GL-4"), page},
		{"AK-21 a redirect_uri that is not registered", query("redirect_uri", "https://evil.test/"), invalid(oauth.ReasonRedirectURIMismatch, "RD-1"), page},
		{"RD-1 a trailing slash", query("redirect_uri", callback+"/"), invalid(oauth.ReasonRedirectURIMismatch, "RD-1"), page},
		{"RD-5 none of several", query("client_id", "several", "redirect_uri", ""), invalid(oauth.ReasonRedirectURIMismatch, "RD-1"), page},
		{"RD-6 a client without any", query("client_id", "machine"), invalid(oauth.ReasonRedirectURIMismatch, "RD-1"), page},
		{"RD-6 a client without any, which sends none", query("client_id", "machine", "redirect_uri", ""), invalid(oauth.ReasonRedirectURIMismatch, "RD-1"), page},
		{"AZ-8 two faults, one of the redirect_uri", query("redirect_uri", "https://evil.test/", "response_type", "token"), invalid(oauth.ReasonRedirectURIMismatch, "RD-1"), page},
		{"AZ-1 a malformed query", "client_id=%zz", invalid(oauth.ReasonRequestMalformed, "AZ-1"), page},
		{"GL-2 bytes that are no UTF-8", query() + "&state=%ff", invalid(oauth.ReasonRequestMalformed, "GL-2"), page},
		{"GL-8 too long", query() + "&x=" + strings.Repeat("x", 16<<10), invalid(oauth.ReasonRequestMalformed, "GL-8"), page},

		{"AK-24 two state", query() + "&state=b", invalid(oauth.ReasonRequestMalformed, "GL-4"), redirect},
		{"AK-24 two code_challenge", query() + "&code_challenge=" + challenge, invalid(oauth.ReasonRequestMalformed, "GL-4"), redirect},
		{"GL-4 an unknown one twice", query("foo", "bar") + "&foo=bar", invalid(oauth.ReasonRequestMalformed, "GL-4"), redirect},
		{"AZ-9 state too long", query("state", longState+"s"), invalid(oauth.ReasonRequestMalformed, "AZ-9"), redirect},
		{"AZ-2 response_type missing", query("response_type", ""), invalid(oauth.ReasonRequestMalformed, "AZ-2"), redirect},
		{"AZ-2 implicit", query("response_type", "token"), want{Code: oauth.UnsupportedResponseType, Reason: oauth.ReasonResponseTypeUnsupported, Rule: "AZ-2"}, redirect},
		{"AZ-2 hybrid", query("response_type", "code id_token"), want{Code: oauth.UnsupportedResponseType, Reason: oauth.ReasonResponseTypeUnsupported, Rule: "AZ-2"}, redirect},
		{"AZ-2 in capitals", query("response_type", "CODE"), want{Code: oauth.UnsupportedResponseType, Reason: oauth.ReasonResponseTypeUnsupported, Rule: "AZ-2"}, redirect},
		{"AK-22 no challenge", query("code_challenge", ""), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"AK-22 neither challenge nor method", query("code_challenge", "", "code_challenge_method", ""), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"AK-22 the method plain", query("code_challenge_method", "plain"), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"AK-22 no method", query("code_challenge_method", ""), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"AZ-3 the method in small letters", query("code_challenge_method", "s256"), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"AZ-3 42 characters", query("code_challenge", challenge[1:]), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"AZ-3 44 characters", query("code_challenge", challenge+"="), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"AZ-3 other characters", query("code_challenge", challenge[1:]+"+"), invalid(oauth.ReasonCodeChallengeBad, "AZ-3"), redirect},
		{"TK-5 a client without the grant", query("client_id", "denied", "scope", ""), want{Code: oauth.UnauthorizedClient, Reason: oauth.ReasonGrantDenied, Rule: "TK-5"}, redirect},
		{"TK-5 scope malformed", query("scope", "read  write"), want{Code: oauth.InvalidScope, Reason: oauth.ReasonScopeMalformed, Rule: "TK-5"}, redirect},
		{"CC-4 scope that the client may not have", query("scope", "read admin"), want{Code: oauth.InvalidScope, Reason: oauth.ReasonScopeDenied, Rule: "CC-4"}, redirect},
		{"RI-1 relative", query("resource", "/api"), want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceUnknown, Rule: "TK-5"}, redirect},
		{"RI-1 a fragment", query("resource", api+"#a"), want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceUnknown, Rule: "TK-5"}, redirect},
		{"RI-1 unknown", query("resource", "https://other.example.com/"), want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceUnknown, Rule: "CC-4"}, redirect},
		{"RI-1 not the client's", query("resource", "https://nobody.example.com/"), want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceDenied, Rule: "CC-4"}, redirect},
		{"AT-4 two", query("resource", api) + "&resource=https%3A%2F%2Fbooks.example.com%2F", want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceMultiple, Rule: "AT-4"}, redirect},
		{"CC-4 none of two", query("client_id", "other"), want{Code: oauth.InvalidTarget, Reason: oauth.ReasonResourceMissing, Rule: "CC-4"}, redirect},
		{"JR-2 a request object", query("request", "e30.e30."), want{Code: oauth.RequestNotSupported, Reason: oauth.ReasonRequestMalformed, Rule: "JR-2"}, redirect},
		{"JR-3 a request_uri to fetch", query("request_uri", "https://evil.test/r"), want{Code: oauth.RequestURINotSupported, Reason: oauth.ReasonRequestURIUnknown, Rule: "JR-3"}, page},
		{"PA-2 a request_uri nobody gave out", query("request_uri", oauth.RequestURIPrefix+"x"), invalid(oauth.ReasonRequestURIUnknown, "PA-2"), page},
		{"PA-6 a client that must push", query("client_id", "pushes"), invalid(oauth.ReasonPARRequired, "PA-6"), redirect},
		{"GL-8 a long one, of which little is read", query("scope", strings.TrimSpace(strings.Repeat("read ", 1000))) + "&x=" + strings.Repeat("x", 8<<10), accepted, ""},
		{"GL-8 too long when it is carried from page to page", query() + "&resource=" + strings.Repeat("!", 8<<10), invalid(oauth.ReasonRequestMalformed, "GL-8"), page},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := s.Requests.Read(t.Context(), row.query)
			row.want.Check(t, err)
			if r.Read() != (err == nil) {
				t.Errorf("Read is %t beside %v", r.Read(), err)
			}
			if err == nil {
				return
			}
			fault, ok := errors.AsType[*authorization.Fault](err)
			if !ok {
				t.Fatalf("%T is no Fault", err)
			}
			if (fault.Location() == "") != (row.where == page) {
				t.Errorf("AZ-8 it is told at %q, want %s", fault.Location(), row.where)
			}
			if row.where == redirect {
				checkError(t, fault.Location(), row.query, row.want.Code)
			}
		})
	}
}

// checkError is what holds for every error that a client is told through a browser
// (AZ-8, AZ-9, IS-1).
func checkError(t *testing.T, location, query string, code oauth.ErrorCode) {
	t.Helper()
	sent, _ := url.ParseQuery(query)
	base := sent.Get("redirect_uri")
	if base == "" {
		base = callback
	}
	if !strings.HasPrefix(location, base) {
		t.Errorf("AZ-8 sent to %s", location)
	}
	got := answer(t, location)
	expected := url.Values{"error": {string(code)}, "iss": {testidentity.Issuer}}
	if len(sent["state"]) == 1 {
		expected["state"] = sent["state"]
	}
	if !maps.EqualFunc(got, expected, slices.Equal) {
		t.Errorf("AZ-8 the answer is %v, want %v", got, expected)
	}
}

func TestWhatWasRead(t *testing.T) {
	s := newSite(t)
	state := "ä \"<>&=%\n\x00" + strings.Repeat("x", 64)
	r, err := s.Requests.Read(t.Context(), query("client_id", "phone", "redirect_uri", "http://127.0.0.1:5/cb", "scope", "write read", "state", state))
	accepted.Check(t, err)
	if r.ClientID() != "phone" || r.ClientName() != "The phone" || r.RedirectURI() != "http://127.0.0.1:5/cb" || r.State() != state ||
		!slices.Equal(r.Scope(), []string{"write", "read"}) || r.Resource() != api || r.Pushed() || r.SPIFFEID() != "" {
		t.Errorf("read as %q %q %q %q %v %q", r.ClientID(), r.ClientName(), r.RedirectURI(), r.State(), r.Scope(), r.Resource())
	}
	location, err := s.Requests.Grant(t.Context(), r, jo(s), s.signedIn(t), r.Scope())
	accepted.Check(t, err)
	if got := answer(t, location); got.Get("state") != state || got.Get("iss") != testidentity.Issuer || len(got.Get("code")) != 43 || len(got) != 3 {
		t.Errorf("AZ-9 IS-1 the answer is %v", got)
	}
	if strings.ContainsAny(location, "\n\x00\"<> ") {
		t.Errorf("the location is %q", location)
	}
	if got := answer(t, s.Requests.Refuse(r, oauth.AccessDenied)); got.Get("error") != "access_denied" || got.Get("state") != state || got.Get("iss") != testidentity.Issuer || len(got) != 3 {
		t.Errorf("AZ-8 refused with %v", got)
	}
	for code, told := range map[oauth.ErrorCode]string{oauth.Unavailable: "temporarily_unavailable", oauth.TooMany: "temporarily_unavailable", oauth.InvalidClient: "server_error", oauth.ServerError: "server_error"} {
		if got := answer(t, s.Requests.Refuse(r, code)).Get("error"); got != told {
			t.Errorf("AZ-8 %s is told as %s", code, got)
		}
	}

	// No scope asked for is all that the client may have; a registered query stays.
	r, err = s.Requests.Read(t.Context(), query("client_id", "several", "redirect_uri", "https://app.example.com/b?c=d", "scope", ""))
	accepted.Check(t, err)
	if !slices.Equal(sorted(r.Scope()), []string{"read", "write"}) || r.ClientName() != "several" {
		t.Errorf("scope %v, name %q", r.Scope(), r.ClientName())
	}
	if got := s.Requests.Refuse(r, oauth.AccessDenied); !strings.HasPrefix(got, "https://app.example.com/b?c=d&error=access_denied&") {
		t.Errorf("sent to %s", got)
	}
	r, err = s.Requests.Read(t.Context(), query("client_id", "phone", "redirect_uri", "com.example.app:/cb"))
	accepted.Check(t, err)
	if got := s.Requests.Refuse(r, oauth.AccessDenied); !strings.HasPrefix(got, "com.example.app:/cb?error=access_denied&") {
		t.Errorf("sent to %s", got)
	}
}

// Whatever prints a value of this package shows none of its secrets.
func TestPrintsNothing(t *testing.T) {
	s := newSite(t)
	r, err := s.Requests.Read(t.Context(), query("state", "secret-state"))
	accepted.Check(t, err)
	g, err := s.Records.ByID(t.Context(), s.grantOf(t, s.granted(t)), s.Clock.Now())
	accepted.Check(t, err)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, value := range []any{r, g, g.Code.Digest, g.Refresh, authorization.Pushed{Parameters: "secret-state"}} {
			if out := fmt.Sprintf(verb, value); strings.Contains(out, "secret-state") || strings.Contains(out, challenge) || len(out) > 60 {
				t.Errorf("%s prints %s", verb, out)
			}
		}
	}
}

// grantOf is the id of the grant of a code.
func (s *site) grantOf(t testing.TB, code string) string {
	t.Helper()
	draft, err := s.Grants.Redeem(t.Context(), redeeming(code))
	if err != nil {
		t.Fatal(err)
	}
	return draft.Grant().ID
}

func TestGrant(t *testing.T) {
	s := newSite(t)
	r, err := s.Requests.Read(t.Context(), query("scope", "read write"))
	accepted.Check(t, err)
	internal := func(rule string) want {
		return want{Code: oauth.ServerError, Reason: oauth.ReasonInternal, Rule: rule}
	}
	now := s.Clock.Now()
	for _, row := range []struct {
		name  string
		r     authorization.Request
		by    authorization.Subject
		scope []string
		want  want
	}{
		{"all of it", r, jo(s), []string{"read", "write"}, accepted},
		{"some of it", r, jo(s), []string{"write"}, accepted},
		{"none of it", r, jo(s), nil, accepted},
		{"RT-2 more", r, jo(s), []string{"read", "admin"}, internal("RT-2")},
		{"AZ-6 no request", authorization.Request{}, jo(s), nil, internal("AZ-6")},
		{"CC-3 nobody", r, authorization.Subject{AuthTime: now}, nil, internal("CC-3")},
		{"AT-3 it is not known when", r, authorization.Subject{User: "jo"}, nil, accepted},
		{"CC-3 a workload", r, authorization.Subject{User: "spiffe://example.org/billing", AuthTime: now}, nil, internal("CC-3")},
		{"CC-3 a workload in capitals", r, authorization.Subject{User: "SPIFFE://example.org/billing", AuthTime: now}, nil, internal("CC-3")},
		{"CC-3 a name too long", r, authorization.Subject{User: strings.Repeat("j", authorization.MaxUser+1), AuthTime: now}, nil, internal("CC-3")},
		{"CC-3 the longest name", r, authorization.Subject{User: strings.Repeat("j", authorization.MaxUser), AuthTime: now}, nil, accepted},
	} {
		t.Run(row.name, func(t *testing.T) {
			location, err := s.Requests.Grant(t.Context(), row.r, row.by, storetest.SignedIn(t, s.people, row.by.User, s.Clock.Now()), row.scope)
			row.want.Check(t, err)
			if (location == "") != (err != nil) {
				t.Errorf("sent to %q beside %v", location, err)
			}
			if err != nil {
				return
			}
			draft, err := s.Grants.Redeem(t.Context(), redeeming(answer(t, location).Get("code")))
			accepted.Check(t, err)
			if !slices.Equal(draft.Scope(), row.scope) || draft.Grant().Subject.User != row.by.User {
				t.Errorf("granted %v by %s", draft.Scope(), draft.Grant().Subject.User)
			}
		})
	}
	if s.Requests.Refuse(authorization.Request{}, oauth.AccessDenied) != "" || s.Requests.Keep(authorization.Request{}) != "" {
		t.Error("the zero Request is good for something")
	}
}

func TestKeepAndReopen(t *testing.T) {
	s := newSite(t)
	r, err := s.Requests.Read(t.Context(), query("state", "a&b=c"))
	accepted.Check(t, err)
	kept := s.Requests.Keep(r)
	again, err := s.Requests.Reopen(t.Context(), kept)
	accepted.Check(t, err)
	if again.State() != "a&b=c" || again.RedirectURI() != callback || s.Requests.Keep(again) != kept {
		t.Errorf("reopened as %q", s.Requests.Keep(again))
	}
	s.Clock.Advance(10 * time.Minute)
	_, err = s.Requests.Reopen(t.Context(), kept)
	accepted.Check(t, err)
	s.Clock.Advance(time.Second)
	_, err = s.Requests.Reopen(t.Context(), kept)
	invalid(oauth.ReasonExpired, "AZ-1").Check(t, err)
	for _, forged := range []string{"", ".", "x." + query(), query(), "99999999999999." + query()} {
		if _, err := s.Requests.Reopen(t.Context(), forged); err == nil {
			t.Errorf("%q is reopened", forged)
		}
	}
	// What was changed on the way is judged as it is then.
	now := s.Requests.Keep(r)
	_, err = s.Requests.Reopen(t.Context(), strings.Replace(now, url.QueryEscape(callback), url.QueryEscape("https://evil.test/"), 1))
	invalid(oauth.ReasonRedirectURIMismatch, "RD-1").Check(t, err)
}

// RU-8 A blocked client learns nothing and sends nobody anywhere, and neither does a
// request that a blocked workload pushed.
func TestBlockedRequests(t *testing.T) {
	blocked := map[string]bool{}
	s := newSite(t, func(set *settings) {
		set.requests.Blocked = func(clientID string, id spiffeid.ID) bool { return blocked[clientID] || blocked[id.String()] }
	})
	pushed, err := s.Requests.Push(t.Context(), appCaller, push(t, values()))
	accepted.Check(t, err)
	for _, row := range []struct {
		name, query, block string
	}{
		{"the client", query("client_id", "phone", "redirect_uri", "http://127.0.0.1/cb"), "phone"},
		{"the workload that pushed", url.Values{"client_id": {app}, "request_uri": {string(pushed.RequestURI)}}.Encode(), app},
	} {
		blocked["other"] = true
		r, err := s.Requests.Read(t.Context(), row.query)
		accepted.Check(t, err)
		kept := s.Requests.Keep(r)
		blocked[row.block] = true
		_, read := s.Requests.Read(t.Context(), row.query)
		_, reopened := s.Requests.Reopen(t.Context(), kept)
		for _, err := range []error{read, reopened} {
			want{Code: oauth.UnauthorizedClient, Reason: oauth.ReasonClientBlocked, Rule: "RU-8"}.Check(t, err)
			if fault, ok := errors.AsType[*authorization.Fault](err); !ok || fault.Location() != "" {
				t.Errorf("AZ-8 %s is blocked, and the browser is sent away: %v", row.name, err)
			}
		}
		clear(blocked)
	}
}

// AZ-12 BC-4 Who signed out, or withdrew, grants nothing and is asked; the pushed
// request is still open for their answer.
func TestNoPermission(t *testing.T) {
	s := newSite(t)
	pushed, err := s.Requests.Push(t.Context(), appCaller, push(t, values()))
	accepted.Check(t, err)
	r, err := s.Requests.Read(t.Context(), url.Values{"client_id": {app}, "request_uri": {string(pushed.RequestURI)}}.Encode())
	accepted.Check(t, err)
	remembered := s.signedIn(t)
	remembered.Remembered = true
	for _, row := range []struct {
		by   authorization.Permission
		want error
	}{{authorization.Permission{}, authorization.ErrSignedOut}, {remembered, authorization.ErrNotAgreed}} {
		if location, err := s.Requests.Grant(t.Context(), r, jo(s), row.by, r.Scope()); !errors.Is(err, row.want) || location != "" {
			t.Errorf("%q, %v, want %v", location, err, row.want)
		}
	}
	_, err = s.Requests.Grant(t.Context(), r, jo(s), s.signedIn(t), r.Scope())
	accepted.Check(t, err)
}
