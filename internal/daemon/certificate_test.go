package daemon

import (
	"bytes"
	"crypto/tls"
	"os"
	"testing"
	"time"
)

// A certificate is read again when its files change, a second later at most, and
// a pair that does not load keeps the old one in use.
func TestCertificateReload(t *testing.T) {
	p := newPlace(t)
	now := time.Now()
	c, err := loadCertificate(p.path("as.crt"), p.path("as.key"), func() time.Time { return now }, p.log.logger())
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		t.Helper()
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	// touched makes sure that the files' stamps differ, however fast the test is.
	stamp := time.Now()
	put := func(name string, data []byte) {
		t.Helper()
		p.write(t, name, data)
		stamp = stamp.Add(time.Minute)
		if err := os.Chtimes(p.path(name), stamp, stamp); err != nil {
			t.Fatal(err)
		}
	}
	first := serial()

	chain, key := p.pair(t)
	put("as.crt", chain)
	put("as.key", key)
	c.look()
	second := serial()
	if second == first || len(p.log.lines("tls certificate reloaded")) != 1 {
		t.Errorf("not reloaded: %s", p.log.buf.String())
	}

	chain, key = p.pair(t)
	for _, defect := range []struct {
		name string
		make func()
	}{
		{"half of a replacement", func() { put("as.crt", chain) }},
		{"no PEM", func() { put("as.crt", []byte("not a certificate")) }},
		{"an empty file", func() { put("as.crt", nil) }},
		{"no file", func() {
			if err := os.Remove(p.path("as.crt")); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		before := len(p.log.lines("tls certificate not reloaded, the old one stays"))
		defect.make()
		c.look()
		if serial() != second {
			t.Errorf("%s: the old certificate is not in use", defect.name)
		}
		if len(p.log.lines("tls certificate not reloaded, the old one stays")) != before+1 {
			t.Errorf("%s: nobody is told", defect.name)
		}
	}
	if bytes.Contains(p.log.buf.Bytes(), []byte("PRIVATE KEY")) {
		t.Error("AU-2 the log shows a key")
	}

	put("as.crt", chain)
	put("as.key", key)
	c.look()
	third := serial()
	if third == second || third == first {
		t.Error("not reloaded once it was whole again")
	}
	before := len(p.log.lines("tls certificate reloaded"))
	for range 3 {
		c.look()
		if serial() != third {
			t.Error("reloaded though nothing changed")
		}
	}
	if len(p.log.lines("tls certificate reloaded")) != before {
		t.Error("reloaded though nothing changed")
	}
}

func TestCertificateFaults(t *testing.T) {
	p := newPlace(t)
	_, otherKey := p.pair(t)
	p.write(t, "other.key", otherKey)
	p.write(t, "text", []byte("text"))
	for _, row := range []struct {
		name, cert, key string
		ok              bool
	}{
		{"a pair", "as.crt", "as.key", true},
		{"the key of another certificate", "as.crt", "other.key", false},
		{"no key file", "as.crt", "none", false},
		{"no certificate file", "none", "as.key", false},
		{"text for a certificate", "text", "as.key", false},
		{"text for a key", "as.crt", "text", false},
		{"exchanged", "as.key", "as.crt", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			c, err := loadCertificate(p.path(row.cert), p.path(row.key), time.Now, p.log.logger())
			if (err == nil) != row.ok || (c != nil) != row.ok {
				t.Errorf("%v, %v", c != nil, err)
			}
		})
	}
}

// What a listener offers is not left to defaults that may change (GL-1, XS-20).
func TestTLSConfig(t *testing.T) {
	p := newPlace(t)
	c, err := loadCertificate(p.path("as.crt"), p.path("as.key"), time.Now, p.log.logger())
	if err != nil {
		t.Fatal(err)
	}
	for _, certificates := range []bool{false, true} {
		config := tlsConfig(c, certificates, time.Now)
		want := tls.NoClientCert
		if certificates {
			want = tls.RequestClientCert
		}
		if config.ClientAuth != want || config.ClientCAs != nil {
			t.Errorf("XS-20 with certificates %t: %v, %v", certificates, config.ClientAuth, config.ClientCAs)
		}
		if config.MinVersion != tls.VersionTLS12 || config.MaxVersion != 0 || config.InsecureSkipVerify || config.Time == nil {
			t.Errorf("GL-1 %+v", config)
		}
		for _, suite := range config.CipherSuites {
			for _, weak := range tls.InsecureCipherSuites() {
				if suite == weak.ID {
					t.Errorf("GL-1 %s is offered", weak.Name)
				}
			}
		}
	}
}
