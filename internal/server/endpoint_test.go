package server

import (
	"context"
	"net/http"
	"slices"
	"testing"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/store"
	"github.com/svidgate/svidgate/internal/testidentity"
	"github.com/svidgate/svidgate/internal/tokenrequest"
)

// AZ-7 RT-3 GL-15 Whatever keeps the answer of an operation from leaving, what it wrote is
// taken back; when the answer leaves, it stays.
func TestTakenBack(t *testing.T) {
	s := newSite(t)
	for _, row := range []struct {
		name   string
		fate   func() (answer, error)
		status int
		undone int
	}{
		{"it leaves", func() (answer, error) { return writeEmpty, nil }, 200, 0},
		{"it is refused", func() (answer, error) { return nil, store.Refuse(store.ErrUnavailable) }, 503, 1},
		{"the server breaks", func() (answer, error) { panic("broken") }, 500, 1},
	} {
		undone := 0
		h := s.server.formHandler(formEndpoint{event: audit.EventToken, begin: func(*tokenrequest.Request) (operation, error) {
			return func(_ context.Context, c *call) (answer, error) {
				c.undo = func(ctx context.Context) error { undone++; return ctx.Err() }
				return row.fate()
			}, nil
		}}, testidentity.TokenURL)
		w := post(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(respond(w), r) }), s.good(t), nil)
		if w.Code != row.status || undone != row.undone {
			t.Errorf("%s: %d, undone %d times", row.name, w.Code, undone)
		}
	}
}

// GL-16 Having revoked what is no token, in the name of a public client, counts against
// the source: nothing else would bound it. Revoking its own tokens does not, and
// neither does the same in a name that is proven.
func TestPublicClientRevokes(t *testing.T) {
	s := newCodeSite(t)
	s.config.FailuresPerSource = 5
	server, err := New(s.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	revoke := func(token, source string) int {
		return post(server.Public(), testidentity.With(public(), "token", token), nil, to("/revoke"), from(source)).Code
	}
	statuses := []int{}
	for i := range 20 {
		statuses = append(statuses, revoke([]string{"guess", "a.b.c"}[i%2], "192.0.2.1:1"))
	}
	if statuses[0] != 200 || !slices.Contains(statuses, 429) {
		t.Errorf("GL-16 answered %v", statuses)
	}
	for range 20 {
		body, _ := issued(t, post(server.Public(), redemption(public(), s.code(t, "phone")), nil, from("192.0.2.2:1")))
		if got := revoke(string(body.AccessToken), "192.0.2.2:1"); got != 200 {
			t.Fatalf("GL-16 its own: %d", got)
		}
		form := testidentity.With(testidentity.Assertion(billing, s.JWT(t, billing)), "grant_type", "", "token", "guess")
		if w := post(server.Public(), form, nil, to("/revoke"), from("192.0.2.3:1")); w.Code != 200 {
			t.Fatalf("GL-16 a proven name: %d", w.Code)
		}
	}
}
