package bundle

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// ProfileHTTPSWeb is the bundle endpoint profile in which the Web PKI vouches
// for the endpoint (FED section 5.2.1).
const ProfileHTTPSWeb = "https_web"

const (
	// endpointTimeout bounds one fetch with all its redirects (BE-9).
	endpointTimeout = 10 * time.Second
	// maxRedirects is how many redirects one fetch follows (BE-12).
	maxRedirects = 5
	// maxHeaderBytes bounds the header block of an answer.
	maxHeaderBytes = 64 << 10
)

// An EndpointConfig describes one bundle endpoint as its operator wrote it. The
// URL comes from the operator, so its host may be private or on loopback; a URL
// that a stranger supplied has no place here.
type EndpointConfig struct {
	// URL is where every fetch starts: https, no user information (BE-2).
	URL string
	// Profile is https_web, for which empty stands (BE-1, BE-3).
	Profile string
	// RootCAs vouch for the endpoint's certificate; nil means the system's.
	// They have nothing to do with the anchors of the bundle.
	RootCAs *x509.CertPool
	// ForbidRedirects makes a redirect a failed fetch. Otherwise up to five are
	// followed, each to a URL of the same form and under the same TLS checks.
	ForbidRedirects bool
	// Now dates the checks of certificates; nil means time.Now.
	Now func() time.Time
}

// An Endpoint is a SPIFFE bundle endpoint with the profile https_web. It shows
// the peer no certificate, no credential and no cookie (BE-5), asks no proxy,
// and keeps nothing from one fetch to the next.
type Endpoint struct {
	url             *url.URL
	origin          string
	client          *http.Client
	forbidRedirects bool
	timeout         time.Duration
}

// NewEndpoint checks the configuration and reports every fault at once.
func NewEndpoint(c EndpointConfig) (*Endpoint, error) {
	u, err := endpointURL(c.URL)
	var profile error
	if c.Profile != "" && c.Profile != ProfileHTTPSWeb {
		//svidgate:rule BE-3
		profile = fmt.Errorf("the profile of a bundle endpoint is %s, not %q (BE-3)", ProfileHTTPSWeb, oauth.Shown(c.Profile))
	}
	if err := errors.Join(err, profile); err != nil {
		return nil, fmt.Errorf("bundle: endpoint: %w", err)
	}
	return &Endpoint{
		url: u, origin: uniqueOrigin(u, c.URL),
		client: &http.Client{
			Transport: &http.Transport{
				Proxy: nil, // not even one that the environment names
				TLSClientConfig: &tls.Config{
					RootCAs:    c.RootCAs,
					Time:       c.Now,
					MinVersion: tls.VersionTLS12,
				},
				// Each fetch shakes hands anew, so that each one is checked.
				DisableKeepAlives: true,
				// The limit is on what is read, so nothing may grow after it.
				DisableCompression:     true,
				MaxResponseHeaderBytes: maxHeaderBytes,
			},
			// Redirects are followed by fetch itself: the client would send a
			// Referer, and would not look at the target's form.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		forbidRedirects: c.ForbidRedirects,
		timeout:         endpointTimeout,
	}, nil
}

// endpointURL is BE-2. Its errors do not repeat the URL, which may hold secrets
// where it must not.
func endpointURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		//svidgate:rule BE-2
		return nil, errors.New("the URL is malformed (BE-2)")
	case u.Scheme != "https":
		//svidgate:rule BE-2
		return nil, errors.New("the URL is not https (BE-2)")
	case u.User != nil:
		//svidgate:rule BE-2
		return nil, errors.New("the URL has user information (BE-2)")
	case u.Hostname() == "":
		//svidgate:rule BE-2
		return nil, errors.New("the URL has no host (BE-2)")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			//svidgate:rule BE-2
			return nil, errors.New("the URL has no port from 1 to 65535 (BE-2)")
		}
	}
	return u, nil
}

// shownURL is a URL for logs: a query may hold what only the peer should read.
func shownURL(u *url.URL) string { return oauth.Shown(withoutQuery(u)) }

func withoutQuery(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// uniqueOrigin is the shown URL. Where that is not all of it, a digest tells two
// endpoints apart that differ in the rest.
func uniqueOrigin(u *url.URL, raw string) string {
	shown := shownURL(u)
	if u.RawQuery == "" && !u.ForceQuery && shown == withoutQuery(u) {
		return shown
	}
	sum := sha256.Sum256([]byte(raw))
	return fmt.Sprintf("%s (%x)", shown, sum[:8])
}

// Origin is the configured URL, without its query. If it had one, or is too long
// to be shown whole, a digest follows: no two endpoints have the same origin.
func (e *Endpoint) Origin() string { return e.origin }

// Fetch asks the configured URL for the document, within ten seconds. Only an
// answer with status 200 and at most 1 MiB counts (BE-9); its content type does
// not matter.
func (e *Endpoint) Fetch(ctx context.Context) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	var document Document
	// A redirect is good for this fetch only; the next starts at e.url (BE-11).
	for at := e.url; ; {
		data, next, err := e.get(ctx, at)
		if err != nil {
			return document, fmt.Errorf("bundle: endpoint %s: %w", shownURL(at), err)
		}
		if next == nil {
			document.Bytes = data
			return document, nil
		}
		if len(document.Redirects) == maxRedirects {
			return document, fmt.Errorf("bundle: endpoint %s: more than %d redirects (BE-12)", shownURL(e.url), maxRedirects)
		}
		document.Redirects = append(document.Redirects, shownURL(next))
		at = next
	}
}

// get makes one request. It returns a document, or where to go on.
func (e *Endpoint) get(ctx context.Context, at *url.URL) ([]byte, *url.URL, error) {
	request := (&http.Request{
		Method: http.MethodGet,
		URL:    at,
		Host:   at.Host,
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"svidgate"}},
	}).WithContext(ctx)
	response, err := e.client.Do(request)
	if err != nil {
		// The library's own wrapping repeats the URL with its query.
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, nil, oauth.ShownError(err)
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		data, err := readDocument(response.Body)
		if err == nil {
			// Our hanging up can make a server end its answer in good order but
			// halfway, so what ends after the deadline does not count.
			err = ctx.Err()
		}
		if err != nil && !errors.Is(err, errTooLong) {
			err = oauth.ShownError(err)
		}
		return data, nil, err
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		next, err := e.redirect(at, response.Header.Get("Location"))
		return nil, next, err
	}
	return nil, nil, fmt.Errorf("it answered with status %d; only 200 counts (BE-9)", response.StatusCode)
}

// redirect is BE-10: the target has to be an endpoint URL by itself.
func (e *Endpoint) redirect(at *url.URL, location string) (*url.URL, error) {
	if e.forbidRedirects {
		return nil, errors.New("it redirects, which its configuration forbids (BE-12)")
	}
	if location == "" {
		return nil, errors.New("it redirects to nowhere (BE-10)")
	}
	target, err := at.Parse(location)
	if err != nil {
		return nil, errors.New("it redirects to a malformed URL (BE-10)")
	}
	next, err := endpointURL(target.String())
	if err != nil {
		return nil, fmt.Errorf("it redirects to a URL that is none of a bundle endpoint (BE-10): %w", err)
	}
	return next, nil
}
