package tokenrequest_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// padded is a sound body of exactly n bytes.
func padded(n int) string {
	return good + "&x=" + strings.Repeat("a", n-len(good)-len("&x="))
}

func TestBodyLimit(t *testing.T) {
	tooLarge := want{oauth.TooLarge, oauth.ReasonRequestTooLarge, "GL-8"}
	chunked := func(r *http.Request) { r.ContentLength = -1 }
	run(t, []row{
		{"GL-8 64 KiB less 1", padded(tokenrequest.MaxBody - 1), nil, accepted},
		{"GL-8 64 KiB", padded(tokenrequest.MaxBody), nil, accepted},
		{"GL-8 64 KiB and 1", padded(tokenrequest.MaxBody + 1), nil, tooLarge},
		{"GL-8 64 KiB less 1, length unknown", padded(tokenrequest.MaxBody - 1), chunked, accepted},
		{"GL-8 64 KiB, length unknown", padded(tokenrequest.MaxBody), chunked, accepted},
		{"GL-8 64 KiB and 1, length unknown", padded(tokenrequest.MaxBody + 1), chunked, tooLarge},
		{"GL-8 64 KiB and 1, said to be shorter", padded(tokenrequest.MaxBody + 1), func(r *http.Request) { r.ContentLength = 10 }, tooLarge},
	})
}

// A body whose announced length is over the limit is refused before a byte of it
// is read.
func TestLargeBodyIsNotRead(t *testing.T) {
	read := &endless{}
	r := request("")
	r.Body, r.ContentLength = io.NopCloser(read), tokenrequest.MaxBody+1
	_, err := tokenrequest.Parse(httptest.NewRecorder(), r, endpoint)
	if !errors.Is(err, oauth.TooLarge) || read.n != 0 {
		t.Errorf("GL-8 %d bytes were read: %v", read.n, err)
	}
}

// A body without end costs what the limit allows and no more.
func TestEndlessBody(t *testing.T) {
	parse := func() {
		read := &endless{}
		r := request("")
		r.Body, r.ContentLength = io.NopCloser(read), -1
		_, err := tokenrequest.Parse(httptest.NewRecorder(), r, endpoint)
		if !errors.Is(err, oauth.TooLarge) || read.n > 2*tokenrequest.MaxBody {
			t.Fatalf("GL-8 %d bytes were read: %v", read.n, err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	parse()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
		t.Errorf("GL-8 %d bytes of memory for one refused body", n)
	}
}

type endless struct{ n int }

func (e *endless) Read(p []byte) (int, error) {
	e.n += len(p)
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// Many parameters are as good as few within the body limit, up to the bound that
// net/url has, which keeps one request from costing as much as many.
func TestManyParameters(t *testing.T) {
	many := func(n int, format string) string {
		var b strings.Builder
		b.WriteString(good)
		for i := range n {
			b.WriteByte('&')
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	for _, body := range []string{many(5000, "x%05d"), many(9000, "%x"), many(12000, "%x"), many(4000, "resource=%x")} {
		if len(body) > tokenrequest.MaxBody {
			t.Fatalf("the body has %d bytes", len(body))
		}
	}
	run(t, []row{
		{"GL-5 5,000 unknown parameters", many(5000, "x%05d"), nil, accepted},
		{"GL-5 9,000 unknown parameters", many(9000, "%x"), nil, accepted},
		{"GL-8 12,000 unknown parameters", many(12000, "%x"), nil, malformed("GL-2")},
		{"GL-4 4,000 times resource", many(4000, "resource=%x"), nil, accepted},
		{"GL-4 20,000 times nothing", good + strings.Repeat("&a", 20000), nil, malformed("GL-2")},
	})
}

// FuzzParse: no panic, the same answer twice, and a request that is accepted has
// one way of authentication and nothing that breaks a bound.
func FuzzParse(f *testing.F) {
	for _, body := range []string{
		good, "", "&", "=", "grant_type", good + "&" + good, good + "&scope=%ff", good + ";a=b", good + "&client_secret=x",
		"grant_type=client_credentials&client_id=%00", "grant_type=client_credentials&resource=a&resource=&resource=b",
		assertion, "grant_type=a&client_assertion=x", "grant_type=a&client_assertion_type=x",
	} {
		f.Add(body, "", "", "")
		f.Add(body, "client_id=x", "Basic YTpi", "a.b.c")
	}
	f.Fuzz(func(t *testing.T, body, rawQuery, authorization, attestation string) {
		parse := func() (tokenrequest.Request, error) {
			r := httptest.NewRequest(http.MethodPost, endpoint.URL, bufio.NewReader(strings.NewReader(body))) // length unknown
			r.URL.RawQuery = rawQuery
			r.Header.Set("Content-Type", form)
			if authorization != "" {
				r.Header["Authorization"] = []string{authorization}
			}
			if attestation != "" {
				r.Header["Oauth-Client-Attestation"] = []string{attestation}
			}
			return tokenrequest.Parse(httptest.NewRecorder(), r, endpoint)
		}
		req, err := parse()
		again, err2 := parse()
		if !reflect.DeepEqual(req, again) || fmt.Sprint(err) != fmt.Sprint(err2) { // a Request prints little of itself
			t.Fatalf("two answers: %v and %v", err, err2)
		}
		if req.Parsed() != (err == nil) {
			t.Fatalf("Parsed is %t beside %v", req.Parsed(), err)
		}
		if err != nil {
			if _, ok := errors.AsType[*oauth.Error](err); !ok {
				t.Fatalf("not an *oauth.Error: %v", err)
			}
			return
		}
		ways := 0
		for _, there := range []bool{authorization != "", attestation != "", req.Assertion() != "", req.Credential() == tokenrequest.SharedSecret && authorization == ""} {
			if there {
				ways++
			}
		}
		if ways > 1 || (ways == 0) != (req.Credential() == tokenrequest.NoCredential) {
			t.Fatalf("CA-5 accepted with %d ways, as %d", ways, req.Credential())
		}
		if len(body) > tokenrequest.MaxBody || len(req.Assertion()) > oauth.MaxJWT || len(req.ClientID()) > 2048 || req.Credential() == tokenrequest.OtherAssertion {
			t.Fatalf("accepted: %+v", req)
		}
		for _, name := range []string{"client_id", "client_assertion", "scope"} {
			if strings.Contains(rawQuery, name+"=") && !strings.ContainsAny(rawQuery, "%") && strings.HasPrefix(rawQuery, name) {
				t.Fatalf("GL-3 accepted with the query %q", rawQuery)
			}
		}
	})
}
