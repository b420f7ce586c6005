package devenv

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/client/workload"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/oauth"
)

// The three kinds of SVID of one workload end in one principal: their tokens differ
// in times, jti and binding, and in nothing else (RS-3), and the API lets each in by
// its own proof of possession.
func TestThreeKindsOneOutcome(t *testing.T) {
	e, err := Start(t.Context(), Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	source, err := workload.Open(t.Context(), workload.Config{Address: e.SocketAddr, SPIFFEID: Shipping})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()

	var first map[string]any
	for _, row := range []struct {
		method oauth.AuthMethod
		cnf    string
		want   Answer
	}{
		{oauth.MethodX509, "x5t#S256", Answer{Shipping, Shipping, true, false}},
		{oauth.MethodWIT, "jkt", Answer{Shipping, Shipping, false, true}},
		{oauth.MethodJWT, "x5t#S256", Answer{Shipping, Shipping, true, false}}, // over mutual TLS
	} {
		t.Run(string(row.method), func(t *testing.T) {
			c, err := client.New(t.Context(), client.Config{Issuer: e.Issuer, Credentials: source.Credentials(), Method: row.method, RootCAs: e.Roots})
			if err != nil {
				t.Fatal(err)
			}
			request := client.Request{Resource: e.Resource, Scope: Scope}
			token, err := c.Token(t.Context(), request)
			if err != nil {
				t.Fatal(err)
			}
			claims := claimsOf(t, token)
			cnf, _ := claims["cnf"].(map[string]any)
			if len(cnf) != 1 || cnf[row.cnf] == nil {
				t.Errorf("AT-5: cnf %v, want %s alone", cnf, row.cnf)
			}
			if (row.cnf == "jkt") != (token.TokenType == oauth.TokenTypeDPoP) {
				t.Errorf("DP-4: token_type %s with %v", token.TokenType, cnf)
			}
			maps.DeleteFunc(claims, func(name string, _ any) bool {
				return name == "iat" || name == "exp" || name == "nbf" || name == "jti" || name == "cnf"
			})
			if first == nil {
				first = claims
			}
			if len(claims) == 0 || !reflect.DeepEqual(claims, first) {
				t.Errorf("the claims differ:\n%v\n%v", claims, first)
			}

			api := &http.Client{Transport: c.Transport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.Roots}}, request)}
			defer api.CloseIdleConnections()
			for range 3 { // a remembered token needs a new proof each time
				var answer Answer
				if status := call(t, api, http.MethodGet, e.Resource, "", nil, &answer); status != http.StatusOK || answer != row.want {
					t.Errorf("API: status %d, %+v, want %+v", status, answer, row.want)
				}
			}
			// AK-27: to have the token is not enough.
			thief := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.Roots}}}
			defer thief.CloseIdleConnections()
			if status := call(t, thief, http.MethodGet, e.Resource, string(token.AccessToken), nil, nil); status != http.StatusUnauthorized {
				t.Errorf("the token alone, as Bearer: status %d", status)
			}
		})
	}
	t.Run("chosen from what is offered", func(t *testing.T) { // CA-4
		c, err := client.New(t.Context(), client.Config{Issuer: e.Issuer, Credentials: source.Credentials()[1:], RootCAs: e.Roots})
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.Token(t.Context(), client.Request{})
		if err != nil || token.TokenType != oauth.TokenTypeDPoP {
			t.Errorf("got %v, %v; want the WIT-SVID's, which comes before the JWT-SVID", token, err)
		}
	})
	t.Run("a recorded call", func(t *testing.T) { // DP-3, AK-27
		c, err := client.New(t.Context(), client.Config{Issuer: e.Issuer, Credentials: source.Credentials(), Method: oauth.MethodWIT, RootCAs: e.Roots})
		if err != nil {
			t.Fatal(err)
		}
		token, err := c.Token(t.Context(), client.Request{})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, e.Resource, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := token.Authorize(req); err != nil {
			t.Fatal(err)
		}
		plain := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.Roots}}}
		defer plain.CloseIdleConnections()
		for _, want := range []int{http.StatusOK, http.StatusUnauthorized} {
			resp, err := plain.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			challenge := resp.Header.Get("WWW-Authenticate")
			if resp.StatusCode != want || (want != http.StatusOK) != strings.Contains(challenge, `error="invalid_dpop_proof"`) {
				t.Errorf("status %d, %s, want %d", resp.StatusCode, challenge, want)
			}
		}
	})
}

func claimsOf(t *testing.T, token *client.Token) map[string]any {
	t.Helper()
	parsed, err := jose.ParseCompact(string(token.AccessToken))
	if err != nil {
		t.Fatal(err)
	}
	claims := map[string]any{}
	for _, m := range parsed.Payload {
		var value any
		if err := json.Unmarshal([]byte(m.Value), &value); err != nil {
			t.Fatal(err)
		}
		claims[m.Name] = value
	}
	return claims
}

// Rotation of the WIT-SVID, and once of all keys of the trust domain, costs the
// application no call: the old token goes with its own key until there is a new one
// (F23, DP-10).
func TestWITRotationCostsNoCall(t *testing.T) {
	e, err := Start(t.Context(), Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	source, err := workload.Open(t.Context(), workload.Config{Address: e.SocketAddr, SPIFFEID: Shipping})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	c, err := client.New(t.Context(), client.Config{Issuer: e.Issuer, Credentials: []client.Credential{client.WITSVID(source)}, RootCAs: e.Roots})
	if err != nil {
		t.Fatal(err)
	}
	request := client.Request{Resource: e.Resource, Scope: Scope}
	api := &http.Client{Transport: c.Transport(&http.Transport{TLSClientConfig: &tls.Config{RootCAs: e.Roots}}, request)}
	defer api.CloseIdleConnections()

	var served atomic.Int64
	var callers sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				var answer Answer
				if status := call(t, api, http.MethodGet, e.Resource, "", nil, &answer); status != http.StatusOK || !answer.Keyed {
					t.Errorf("F23: the application saw %d, %+v", status, answer)
					return
				}
				served.Add(1)
			}
		})
	}
	keys := map[string]bool{}
	for n := range 8 {
		rotate := e.Domain.Reissue
		if n == 4 {
			rotate = e.Domain.Rotate
		}
		if err := rotate(); err != nil {
			t.Fatal(err)
		}
		for before := served.Load(); served.Load() < before+20 && !t.Failed(); {
			<-time.After(time.Millisecond)
		}
		token, err := c.Token(t.Context(), request)
		if err != nil {
			t.Fatal(err)
		}
		cnf, _ := claimsOf(t, token)["cnf"].(map[string]any)
		jkt, _ := cnf["jkt"].(string)
		keys[jkt] = true
	}
	close(stop)
	callers.Wait()
	if len(keys) < 4 {
		t.Errorf("only %d keys were used in 8 rotations", len(keys))
	}
}
