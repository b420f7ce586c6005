package doctor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/svidgate/svidgate/oauth"
)

// Of several trust domains that are not ready the same one is named each time.
func TestServerReady(t *testing.T) {
	answer := func(code int, body string) *patient {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			fmt.Fprint(w, body)
		}))
		t.Cleanup(s.Close)
		p, err := newPatient(Config{StatusURL: s.URL})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := answer(503, `{"ready":false,"trust_domains":{"c.example":{"ready":false,"error":"x"},"b.example":{"ready":false,"error":"refused"},"a.example":{"ready":true},"d.example":{"ready":false}}}`)
	for range 20 {
		if v := serverReady(t.Context(), p); v.outcome != oauth.Refused || v.found != "the trust domain b.example is not ready: refused" {
			t.Fatalf("%+v", v)
		}
	}
	if v := serverReady(t.Context(), answer(200, `{"ready":true,"trust_domains":{"a.example":{"ready":true}}}`)); v.outcome != oauth.Passed {
		t.Errorf("%+v", v)
	}
}
