package daemon

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// withStore is what keeps state in a file.
const withStore = "store: sqlite:x.db\naudit:"

// GL-15, PERFORMANCE: while the store is down /readyz says so, and clients of the
// configuration go on getting tokens, which need none of it. When it is there again,
// all is well.
func TestGL15TheStoreIsDown(t *testing.T) {
	p := newPlace(t)
	p.write(t, "e", []byte(hex.EncodeToString(random(t))))
	d := p.start(t, p.config(t, anywhere, "audit:", "keys: {in: store, encryption_key_file: e}\n"+withStore))
	answered := func(ready int, reason string) {
		t.Helper()
		if status, body := readyz(t, p, d); status != ready || !strings.Contains(body, reason) {
			t.Errorf("readyz: %d %s", status, body)
		}
		if status := p.asks(t, d, p.authority, "/a"); status != http.StatusOK {
			t.Errorf("a token of a client of the configuration: %d", status)
		}
	}
	answered(http.StatusOK, `"ready":true`)
	if err := os.Rename(p.path("x.db"), p.path("away.db")); err != nil {
		t.Fatal(err)
	}
	answered(http.StatusServiceUnavailable, "store_unavailable")
	p.write(t, "x.db", nil)
	answered(http.StatusServiceUnavailable, "store_unavailable")
	if len(p.log.lines("the store is not ready")) == 0 {
		t.Error("the log says nothing")
	}
	if err := os.Rename(p.path("away.db"), p.path("x.db")); err != nil {
		t.Fatal(err)
	}
	answered(http.StatusOK, `"ready":true`)
	if err := d.Stop(); err != nil {
		t.Error(err)
	}
}

func random(t *testing.T) []byte {
	t.Helper()
	raw := make([]byte, 32)
	rand.Read(raw)
	return raw
}

// KR-2: the keys of a server that was run with a file are published and sign on when
// they are in the store, with what encrypts them in the environment.
func TestKR2KeysMoveToTheStore(t *testing.T) {
	p := newPlace(t)
	jwks := func(d *Daemon) string {
		t.Helper()
		resp, err := p.client().Get("https://" + d.Addresses()[Public] + "/jwks.json")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	var before string
	secret := hex.EncodeToString(random(t))
	t.Setenv(encryptionVariable, secret)
	for _, row := range []struct{ name, change string }{
		{"in the file", withStore},
		{"moved to the store", "keys: {in: store}\n" + withStore},
		{"again", "keys: {in: store}\n" + withStore},
	} {
		d := p.start(t, p.config(t, anywhere, "audit:", row.change))
		if now := jwks(d); before != "" && now != before {
			t.Errorf("%s: there are %s, not %s", row.name, now, before)
		} else {
			before = now
		}
		if err := d.Stop(); err != nil {
			t.Fatal(err)
		}
		// The file alone is what is to be copied when the server has stopped.
		if beside, _ := filepath.Glob(p.path("x.db-*")); beside != nil {
			t.Errorf("%s: beside the store there are %v", row.name, beside)
		}
	}
	if _, err := os.Stat(p.path("svidgate-keys.json")); err != nil {
		t.Error(err)
	}
	all := p.log.text()
	if strings.Contains(all, secret) {
		t.Error("the log has what encrypts the keys")
	}
	data, err := os.ReadFile(p.path("x.db"))
	if err != nil || bytes.Contains(data, []byte("private_key")) || bytes.Contains(data, []byte(secret)) {
		t.Errorf("the store has keys in the clear, or none: %v", err)
	}
}
