package redirecturi_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/redirecturi"
)

func TestMatch(t *testing.T) {
	const web, loop, loop6, host, app = "https://app.example.com/cb", "http://127.0.0.1/cb", "http://[::1]:8080/cb?a=b", "http://localhost:8/cb", "com.example.app:/cb"
	for _, row := range []struct {
		name, registered, named string
		want                    bool
	}{
		{"RD-1 the same", web, web, true},
		{"RD-1 a trailing slash", web, web + "/", false},
		{"RD-1 an encoded period", "https://app.example.com/a.b", "https://app.example.com/a%2eb", false},
		{"RD-1 a further query", web, web + "?a=b", false},
		{"RD-1 an empty query", web, web + "?", false},
		{"RD-1 a fragment", web, web + "#a", false},
		{"RD-1 an upper-case host", web, "https://APP.example.com/cb", false},
		{"RD-1 an upper-case scheme", web, "HTTPS://app.example.com/cb", false},
		{"RD-1 a path with dots", web, "https://app.example.com/cb/../cb", false},
		{"RD-1 a path below", web, "https://app.example.com/cb/x", false},
		{"RD-1 the default port", web, "https://app.example.com:443/cb", false},
		{"RD-1 another port", "https://app.example.com:8443/cb", "https://app.example.com:8444/cb", false},
		{"RD-1 user information", web, "https://app.example.com@evil.test/cb", false},
		{"RD-1 a host that ends so", web, "https://evil-app.example.com/cb", false},
		{"RD-1 a backslash", web, `https://evil.test\@app.example.com/cb`, false},
		{"RD-1 a space after", web, web + " ", false},
		{"RD-1 a line end after", web, web + "\n", false},
		{"RD-1 none", web, "", false},
		{"RD-1 none registered", "", "", false},
		{"RD-1 a private scheme", app, app, true},
		{"RD-1 another path of a private scheme", app, "com.example.app:/cb2", false},

		{"RD-2 another port", loop, "http://127.0.0.1:8080/cb", true},
		{"RD-2 the highest port", loop, "http://127.0.0.1:65535/cb", true},
		{"RD-2 no port where one is registered", loop6, "http://[::1]/cb?a=b", true},
		{"RD-2 another port, IPv6", loop6, "http://[::1]:9/cb?a=b", true},
		{"RD-2 another path", loop, "http://127.0.0.1:8080/cb2", false},
		{"RD-2 no path", loop, "http://127.0.0.1:8080", false},
		{"RD-2 another query", loop6, "http://[::1]:8080/cb?a=c", false},
		{"RD-2 a fragment", loop, "http://127.0.0.1:8080/cb#a", false},
		{"RD-2 another loopback address", loop, "http://127.0.0.2:8080/cb", false},
		{"RD-2 IPv4 for IPv6", loop6, "http://127.0.0.1:8080/cb?a=b", false},
		{"RD-2 another spelling of the address", loop, "http://127.1:8080/cb", false},
		{"RD-2 the address as a number", loop, "http://2130706433/cb", false},
		{"RD-2 IPv6 at length", loop6, "http://[0:0:0:0:0:0:0:1]:8080/cb?a=b", false},
		{"RD-2 a host that begins so", loop, "http://127.0.0.1.evil.test/cb", false},
		{"RD-2 user information", loop, "http://127.0.0.1@evil.test/cb", false},
		{"RD-2 user information with a port", loop, "http://127.0.0.1:80@evil.test/cb", false},
		{"RD-2 https", loop, "https://127.0.0.1:8080/cb", false},
		{"RD-2 port 0", loop, "http://127.0.0.1:0/cb", false},
		{"RD-2 a port with a zero before", loop, "http://127.0.0.1:08080/cb", false},
		{"RD-2 a port too high", loop, "http://127.0.0.1:65536/cb", false},
		{"RD-2 an empty port", loop, "http://127.0.0.1:/cb", false},
		{"RD-2 a port with a sign", loop, "http://127.0.0.1:+80/cb", false},
		{"RD-2 two ports", loop, "http://127.0.0.1:80:81/cb", false},

		{"RD-3 the same", host, host, true},
		{"RD-3 another port", host, "http://localhost:9/cb", false},
		{"RD-3 the address for the name", host, "http://127.0.0.1:8/cb", false},
		{"RD-3 the name for the address", loop, "http://localhost/cb", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := redirecturi.Match(row.registered, row.named); got != row.want {
				t.Errorf("%s for %s: %t", row.named, row.registered, got)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	for _, row := range []struct {
		name, uri string
		ok        bool
	}{
		{"RD-4 https", "https://app.example.com/cb", true},
		{"RD-4 https with port and query", "https://app.example.com:8443/cb?a=b&c", true},
		{"RD-4 a private scheme", "com.example.app:/cb", true},
		{"RD-2 loopback", "http://127.0.0.1/cb", true},
		{"RD-2 loopback, IPv6", "http://[::1]:80", true},
		{"RD-3 localhost", "http://localhost:8080/cb", true},
		{"the longest", "https://a/" + strings.Repeat("a", redirecturi.MaxLength-10), true},
		{"one longer", "https://a/" + strings.Repeat("a", redirecturi.MaxLength-9), false},
		{"RD-4 http", "http://app.example.com/cb", false},
		{"RD-2 another loopback address", "http://127.0.0.2/cb", false},
		{"RD-2 a host that begins so", "http://127.0.0.1.evil.test/cb", false},
		{"RD-3 a host that begins so", "http://localhost.evil.test/cb", false},
		{"RD-4 a fragment", "https://app.example.com/cb#a", false},
		{"RD-4 an empty fragment", "https://app.example.com/cb#", false},
		{"RD-4 user information", "https://a@app.example.com/cb", false},
		{"RD-4 empty user information", "https://@app.example.com/cb", false},
		{"RD-4 a private scheme without a period", "myapp:/cb", false},
		{"RD-4 a script", "javascript:alert(1)", false},
		{"RD-4 data", "data:text/html,a", false},
		{"RD-4 upper-case https", "HTTPS://app.example.com/cb", false},
		{"RD-1 a wildcard", "https://*.example.com/cb", false},
		{"relative", "/cb", false},
		{"without a host", "https:///cb", false},
		{"none", "", false},
		{"a line end", "https://app.example.com/cb\n", false},
		{"a space", "https://app.example.com/c b", false},
		{"outside ASCII", "https://app.example.com/ä", false},
		{"a backslash", `https://app.example.com\cb`, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := redirecturi.Check(row.uri); (err == nil) != row.ok {
				t.Errorf("%q: %v", row.uri, err)
			}
		})
	}
}

// FuzzMatch: what matches is the same, or a loopback address with another port, read
// by the standard library.
func FuzzMatch(f *testing.F) {
	for _, s := range []string{"", "http://127.0.0.1/cb", "http://127.0.0.1:8080/cb", "http://[::1]:1?x", "http://127.0.0.1@evil.test/cb", "http://127.0.0.1:80@e/cb", "https://a/cb", "com.example:/", "http://[::1]"} {
		f.Add(s, s)
		f.Add("http://127.0.0.1/cb", s)
		f.Add("http://[::1]:8/cb?a=b", s)
	}
	f.Fuzz(func(t *testing.T, registered, named string) {
		match := redirecturi.Match(registered, named)
		if redirecturi.Match(named, registered) != match {
			t.Fatalf("%q and %q match one way only", registered, named)
		}
		if !match || registered == named {
			return
		}
		if redirecturi.Check(registered) != nil {
			return // none that could be registered
		}
		r, errR := url.Parse(registered)
		n, errN := url.Parse(named)
		if errR != nil || errN != nil {
			t.Fatalf("RD-2 %q matches %q: %v, %v", named, registered, errN, errR)
		}
		if h := n.Hostname(); h != r.Hostname() || h != "127.0.0.1" && h != "::1" || n.User != nil || n.Scheme != "http" || n.RequestURI() != r.RequestURI() || n.Fragment != "" {
			t.Fatalf("RD-2 %q matches %q", named, registered)
		}
	})
}
