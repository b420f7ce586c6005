package tokenrequest_test

import (
	"net/http/httptest"
	"testing"

	"github.com/svidgate/svidgate/internal/tokenrequest"
)

func TestParameter(t *testing.T) {
	at := endpoint
	at.Parameters = []string{"code", "code_verifier"}
	body := "grant_type=x&code=c&code_verifier=&client_secret=s&redirect_uri=r"
	req, err := tokenrequest.Parse(httptest.NewRecorder(), request(body), at)
	check(t, &req, err, accepted)
	for name, want := range map[string]string{
		"code":          "c",
		"code_verifier": "", // GL-5: empty is absent
		"redirect_uri":  "", // not one that the endpoint reads
		"client_secret": "", // never kept
	} {
		if got := req.Parameter(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}
