package client_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/svidgate/svidgate/client"
)

func TestInvalidTokenIsTriedOnceMore(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answer  func(n int, rw http.ResponseWriter)
		body    func(req *http.Request)
		status  int
		calls   int
		renewed bool
	}{
		{"accepted the second time", func(n int, rw http.ResponseWriter) {
			if n == 1 {
				refuse(rw)
			}
		}, nil, 200, 2, true},
		{"refused twice", func(_ int, rw http.ResponseWriter) { refuse(rw) }, nil, 401, 2, true},
		{"a body that can be sent again", func(n int, rw http.ResponseWriter) {
			if n == 1 {
				refuse(rw)
			}
		}, func(req *http.Request) {
			req.Body = io.NopCloser(strings.NewReader("body"))
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("body")), nil }
		}, 200, 2, true},
		{"a body that cannot", func(n int, rw http.ResponseWriter) {
			if n == 1 {
				refuse(rw)
			}
		}, func(req *http.Request) { req.Body = io.NopCloser(strings.NewReader("body")) }, 401, 1, false},
		{"a body that fails the second time", func(n int, rw http.ResponseWriter) { refuse(rw) }, func(req *http.Request) {
			req.Body = io.NopCloser(strings.NewReader("body"))
			req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		}, 401, 1, true},
		{"another error", func(_ int, rw http.ResponseWriter) {
			rw.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
			rw.WriteHeader(401)
		}, nil, 401, 1, false},
		{"another status", func(_ int, rw http.ResponseWriter) {
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			rw.WriteHeader(403)
		}, nil, 403, 1, false},
		{"401 without a challenge", func(_ int, rw http.ResponseWriter) { rw.WriteHeader(401) }, nil, 401, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			a := newAPI(w, tls.NoClientCert)
			a.handles(func(n int, _ call, rw http.ResponseWriter) { tt.answer(n, rw) })
			rt := w.client(w.config(client.JWTSVID(w.jwt))).Transport(w.base(), client.Request{Resource: a.URL})
			req := must(http.NewRequest(http.MethodPost, a.URL, nil))
			if tt.body != nil {
				tt.body(req)
			}
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // must be readable, whichever of the two it is
			resp.Body.Close()
			calls := a.seen()
			if resp.StatusCode != tt.status || len(calls) != tt.calls {
				t.Fatalf("status %d after %d calls, want %d after %d", resp.StatusCode, len(calls), tt.status, tt.calls)
			}
			if renewed := len(w.edge.seen()) == 2; renewed != tt.renewed {
				t.Errorf("%d token requests", len(w.edge.seen()))
			}
			if tt.calls == 2 && (calls[0].authorization == calls[1].authorization || calls[0].body != calls[1].body) {
				t.Errorf("second attempt %+v after %+v", calls[1], calls[0])
			}
		})
	}
}

func TestAPIThatRefusesEverythingIsNoStorm(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	a.handles(func(_ int, _ call, rw http.ResponseWriter) { refuse(rw) })
	hc := &http.Client{Transport: w.client(w.config(client.JWTSVID(w.jwt))).Transport(w.base(), client.Request{Resource: a.URL})}
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if got := w.get(hc, a.URL); got != 401 {
				t.Errorf("status %d", got)
			}
		})
	}
	wg.Wait()
	if n := len(w.edge.seen()); n > 2 {
		t.Errorf("%d token requests for an API that refuses every token, want 2", n)
	}
}

func TestTransportAnswersWith401WhenTheServerIsDown(t *testing.T) {
	w := newWorld(t)
	a := newAPI(w, tls.NoClientCert)
	hc := &http.Client{Transport: w.client(w.config(client.JWTSVID(w.jwt))).Transport(w.base(), client.Request{Resource: a.URL})}
	if got := w.get(hc, a.URL); got != 200 {
		t.Fatal(got)
	}
	a.handles(func(_ int, _ call, rw http.ResponseWriter) { refuse(rw) })
	w.edge.answers(func(int, captured) reply { return reply{status: 503} })
	if got := w.get(hc, a.URL); got != 401 {
		t.Fatalf("status %d, want the API's own 401", got)
	}
	a.handles(nil)
	if got := w.get(hc, a.URL); got != 200 {
		t.Fatalf("status %d: the token was thrown away on one API's word", got)
	}
}
