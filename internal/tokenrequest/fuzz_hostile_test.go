package tokenrequest_test

import (
	"net/http/httptest"
	"net/url"
	"reflect"
	"testing"

	"github.com/svidgate/svidgate/internal/tokenrequest"
)

// A form that is accepted, written anew from what was read of it, is read as the
// same request: nothing that counts was dropped, added or understood in two ways.
func FuzzFormAgain(f *testing.F) {
	for _, body := range []string{
		good, good + "&scope=read+write", good + "&resource=https%3A%2F%2Fa%2F&resource=b", good + "&scope=&audience=x&audience=y", "grant_type=a",
		"grant_type=a&client_id=%20", "grant_type=a%00&scope=%7F", "grant_type=client%5Fcredentials&client_id=b&x=y&x2=%FF", good + "&%73cope=a",
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		parse := func(body string) (tokenrequest.Request, error) {
			return tokenrequest.Parse(httptest.NewRecorder(), request(body), endpoint)
		}
		req, err := parse(body)
		again, errAgain := parse(body)
		if !reflect.DeepEqual(req, again) || (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() {
			t.Fatalf("two answers: %v and %v", err, errAgain)
		}
		if err != nil || req.Credential() == tokenrequest.SharedSecret { // whose secret is not kept, so it cannot be written
			return
		}
		v := url.Values{"grant_type": {string(req.GrantType())}, "client_id": {req.ClientID()}, "scope": {req.Scope()}, "resource": req.Resources()}
		if req.Assertion() != "" {
			v.Set("client_assertion_type", jwtSPIFFE)
			v.Set("client_assertion", req.Assertion())
		}
		back, err := parse(v.Encode())
		if err != nil || !reflect.DeepEqual(back, req) {
			t.Fatalf("%q was read, and written anew as %q: %v", body, v.Encode(), err)
		}
	})
}
