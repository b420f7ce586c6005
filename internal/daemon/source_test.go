package daemon

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/devca"
)

// BE-6, BE-7, BE-8: a trust domain gets an endpoint that is known by its SPIFFE ID while
// the server runs, in another trust domain and then in its own.
func TestReloadToAnEndpointBySPIFFEID(t *testing.T) {
	p := newPlace(t)
	d := p.reloading(t)
	other, err := devca.New("other.test", devca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "other.json", other.Bundle())
	p.write(t, "stranger.json", p.authority.Bundle())
	serve := func(a *devca.Authority) string {
		svid, err := a.X509SVID("/host")
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(other.Bundle()) }))
		h.TLS = &tls.Config{Certificates: []tls.Certificate{svid.TLSCertificate()}}
		h.Config.ErrorLog = log.New(io.Discard, "", 0)
		h.StartTLS()
		t.Cleanup(h.Close)
		return `url: "` + h.URL + `", profile: https_spiffe, endpoint_spiffe_id: "` + a.TrustDomain().ID().String() + `/host"`
	}
	elsewhere, own := serve(p.authority), serve(other)
	for _, row := range []struct {
		name, source, want string // want is in the error; empty: it is taken over
	}{
		{"a file, to begin with", `bundle_file: other.json`, ""},
		{"BE-8 in another trust domain", `spiffe_bundle_endpoint: {` + elsewhere + `}`, ""},
		{"BE-6 another SPIFFE ID", `spiffe_bundle_endpoint: {` + strings.Replace(elsewhere, "/host", "/guest", 1) + `}`, "(BE-6)"},
		{"BE-4 the web", `spiffe_bundle_endpoint: {` + strings.Split(elsewhere, ",")[0] + `}`, "certificate"},
		{"BE-7 in its own", `spiffe_bundle_endpoint: {` + own + `, initial_bundle_file: other.json}`, ""},
		{"BE-7 known by the CA of a stranger", `spiffe_bundle_endpoint: {` + own + `, initial_bundle_file: stranger.json}`, "(XS-10)"},
		{"BE-7 no such file", `spiffe_bundle_endpoint: {` + own + `, initial_bundle_file: none.json}`, "initial_bundle_file: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			p.write(t, "svidgate.yaml", []byte(p.text(anywhere, clientA, clientA+"\n"+strings.Replace(clientA, "example.org/a\"", "other.test/c\"", 1),
				"  example.org:", "  other.test: {"+row.source+"}\n  example.org:")))
			err := d.Reload("the test")
			if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
				t.Fatalf("%v, want %q", err, row.want)
			}
			until(t, "the bundle of the other trust domain", func() bool { return strings.Contains(second(readyz(t, p, d)), `"other.test":{"ready":true`) })
			if got := p.asks(t, d, other, "/c"); got != 200 {
				t.Errorf("its workload is answered with %d", got)
			}
		})
	}
}
