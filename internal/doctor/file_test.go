package doctor

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
	"github.com/svidgate/svidgate/internal/devenv"
	"github.com/svidgate/svidgate/oauth"
)

// SVIDs that another program writes to files go the same way.
func TestFiles(t *testing.T) {
	e, sound := healthy(t)
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	jwt := func(name, audience string, mutate ...func(header, claims map[string]any)) client.JWTSource {
		token, err := e.Domain.Authority().JWTSVID("/billing", []string{audience}, mutate...)
		if err != nil {
			t.Fatal(err)
		}
		return client.JWTSVIDFile(write(name, []byte(token)))
	}
	svid, err := e.Domain.Authority().X509SVID("/orders")
	if err != nil {
		t.Fatal(err)
	}
	key, err := svid.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	files := client.X509SVIDFiles(write("chain", svid.ChainPEM()), write("key", key))
	ending, err := e.Domain.Authority().X509SVIDForKey("/orders", svid.PrivateKey, func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(3*time.Minute)
	})
	if err != nil {
		t.Fatal(err)
	}
	late := client.X509SVIDFiles(write("late", ending.ChainPEM()), filepath.Join(dir, "key"))

	for _, row := range []struct {
		name        string
		jwt         client.JWTSource
		x509        client.X509Source
		fails       string
		check       string
		outcome     oauth.Outcome
		found, next string
	}{
		{"a JWT-SVID", jwt("a", e.Issuer), nil, "", "token_jwt", oauth.Passed, "anybody who has it may use it", ""},
		{"an X.509-SVID", nil, files, "", "token_x509", oauth.Passed, devenv.Orders, ""},
		{"two workloads", jwt("b", e.Issuer), files, "jwt_svid token_jwt", "jwt_svid", Failed, "TK-3", "--spiffe-id"},
		{"another audience", jwt("c", e.Issuer+"/"), nil, "issuer_audience token_jwt", "issuer_audience", Failed, "trailing slash (expected none, presented one)", "fetch JWT-SVIDs for the audience " + e.Issuer},
		{"the token endpoint as audience", jwt("g", e.Issuer+oauth.PathToken), nil, "", "issuer_audience", oauth.Passed, "the older form", ""},
		{"the same, and the token", jwt("h", e.Issuer+oauth.PathToken), nil, "", "token_jwt", oauth.Passed, "an API accepts it", ""},
		{"that of the other listener", jwt("i", e.Daemon.MTLSURL()+oauth.PathToken), nil, "issuer_audience token_jwt", "issuer_audience", Failed, "differ in: port", ""},
		{"several audiences", jwt("d", e.Issuer, func(_, c map[string]any) { c["aud"] = []string{e.Issuer, "https://b.example"} }), nil, "jwt_svid issuer_audience token_jwt", "jwt_svid", Failed, "aud_multiple, EC-4", ""},
		{"one that has expired", jwt("e", e.Issuer, func(_, c map[string]any) { c["exp"] = int64(1) }), nil, "jwt_svid token_jwt", "jwt_svid", Failed, "expired, CJ-5", ""},
		{"no JWT-SVID at all", client.JWTSVIDFile(write("f", []byte("s3cr3t"))), nil, "jwt_svid", "jwt_svid", Failed, "no JWT-SVID", "have the file written"},
		{"no file", client.JWTSVIDFile(filepath.Join(dir, "none")), nil, "jwt_svid", "jwt_svid", Failed, "none", "have the file written"},
		{"a certificate about to end", nil, late, "x509_svid", "x509_svid", Failed, "ends in ", "what writes the files"},
		{"no certificate", nil, client.X509SVIDFiles(filepath.Join(dir, "none"), filepath.Join(dir, "none")), "x509_svid", "x509_svid", Failed, "none", "what writes the files"},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := sound
			c.Hint, c.JWTSource, c.X509Source = "", row.jwt, row.x509
			by := examine(t, c)
			if f := fails(by); f != row.fails {
				t.Errorf("failed: %s, want %s: %+v", f, row.fails, by)
			}
			wants(t, by, row.check, row.outcome, row.found, row.next)
			wants(t, by, "workload_socket", oauth.NotJudged, "from files", "")
		})
	}
}
