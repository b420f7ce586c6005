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

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/spiffetls/tlsconfig"

	"github.com/svidgate/svidgate/oauth"
)

// The profiles of bundle endpoints. Neither stands in for the other (BE-4).
const (
	// ProfileHTTPSWeb is the one in which the Web PKI vouches for the endpoint (FED
	// section 5.2.1), the only one of the OAuth drafts.
	ProfileHTTPSWeb = "https_web"
	// ProfileHTTPSSPIFFE is the one in which the endpoint is known by its X.509-SVID
	// (FED section 5.2.2).
	ProfileHTTPSSPIFFE = "https_spiffe"
)

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
	// Profile is https_web, for which empty stands (BE-1, BE-3), or https_spiffe.
	Profile string
	// RootCAs vouch for the endpoint's certificate in the profile https_web; nil means
	// the system's. They have nothing to do with the anchors of the bundle.
	RootCAs *x509.CertPool
	// SPIFFE says whom the endpoint has to be in the profile https_spiffe.
	SPIFFE SPIFFEServer
	// ForbidRedirects makes a redirect a failed fetch. Otherwise up to five are
	// followed, each to a URL of the same form and under the same TLS checks.
	ForbidRedirects bool
	// Now dates the checks of certificates; nil means time.Now.
	Now func() time.Time
}

// A SPIFFEServer is a server that is known by its X.509-SVID. Whose bundle it is judged
// by is told by the trust domain of its ID: where that is the one whose bundle it serves,
// it is the newest that it gave, and before that Initial (BE-7); else the one in use of
// that other trust domain, which has to be configured in the same [Set] (BE-8).
type SPIFFEServer struct {
	// ID is its SPIFFE ID, to the letter (BE-6).
	ID spiffeid.ID
	// Initial is the bundle that an operator got by another way, of the trust domain
	// that ID is in. It is good for the first fetch only, and for no SVID but the
	// endpoint's.
	Initial *Snapshot
	// Verify judges the certificates that the server sent by a bundle of its trust
	// domain: svidgate.VerifyServerX509SVID, or what is as strict.
	Verify func(sent []*x509.Certificate, id spiffeid.ID, by *Snapshot, now time.Time) error
}

// An Endpoint is a SPIFFE bundle endpoint. It shows the peer no certificate, no
// credential and no cookie (BE-5), asks no proxy, and keeps nothing from one fetch to
// the next.
type Endpoint struct {
	url             *url.URL
	origin          string
	web             *tls.Config  // of the profile https_web
	spiffe          SPIFFEServer // of the profile https_spiffe; its ID is zero otherwise
	now             func() time.Time
	forbidRedirects bool
	timeout         time.Duration
}

// NewEndpoint checks the configuration and reports every fault at once.
func NewEndpoint(c EndpointConfig) (*Endpoint, error) {
	u, err := endpointURL(c.URL)
	if err := errors.Join(err, checkProfile(c)); err != nil {
		return nil, fmt.Errorf("bundle: endpoint: %w", err)
	}
	e := &Endpoint{
		url: u, origin: uniqueOrigin(u, c.URL), spiffe: c.SPIFFE, now: c.Now,
		web:             &tls.Config{RootCAs: c.RootCAs, Time: c.Now, MinVersion: tls.VersionTLS12},
		forbidRedirects: c.ForbidRedirects, timeout: endpointTimeout,
	}
	if e.now == nil {
		e.now = time.Now
	}
	if !e.spiffe.ID.IsZero() {
		// Another way to know whom one asks is another source, of which nothing is
		// known yet: neither the kept bundle nor its sequence is its own.
		e.origin += " as " + e.spiffe.ID.String()
		if initial := e.spiffe.Initial; initial != nil {
			e.origin += fmt.Sprintf(" (first known by %x)", initial.digest[:8])
		}
	}
	return e, nil
}

// checkProfile checks what the profiles ask for.
func checkProfile(c EndpointConfig) error {
	s, spiffe := c.SPIFFE, c.Profile == ProfileHTTPSSPIFFE
	switch {
	case !spiffe && c.Profile != "" && c.Profile != ProfileHTTPSWeb:
		//svidgate:rule BE-3
		return fmt.Errorf("the profile of a bundle endpoint is %s or %s, not %q (BE-3)", ProfileHTTPSWeb, ProfileHTTPSSPIFFE, oauth.Shown(c.Profile))
	case !spiffe && (!s.ID.IsZero() || s.Initial != nil || s.Verify != nil):
		//svidgate:rule BE-4
		return fmt.Errorf("a SPIFFE ID of the endpoint belongs to the profile %s (BE-4)", ProfileHTTPSSPIFFE)
	case spiffe && c.RootCAs != nil:
		//svidgate:rule BE-4
		return fmt.Errorf("CAs belong to the profile %s (BE-4)", ProfileHTTPSWeb)
	case spiffe && (s.ID.IsZero() || s.Verify == nil):
		//svidgate:rule BE-6
		return fmt.Errorf("the profile %s needs the SPIFFE ID of the endpoint and what judges it (BE-6)", ProfileHTTPSSPIFFE)
	case s.Initial != nil && s.Initial.trustDomain != s.ID.TrustDomain():
		//svidgate:rule BE-7
		return errors.New("the initial bundle is of another trust domain than the endpoint (BE-7)")
	case s.Initial != nil && !s.Initial.Supports(UseX509):
		//svidgate:rule BE-7
		return errors.New("the initial bundle has no CA by which the endpoint could be known (BE-7)")
	}
	return nil
}

// tlsConfig is for one fetch from an endpoint that is judged by a bundle, which is nil
// in the profile https_web.
func (e *Endpoint) tlsConfig(by *Snapshot) *tls.Config {
	if e.spiffe.ID.IsZero() {
		return e.web
	}
	authorities := x509bundle.New(e.spiffe.ID.TrustDomain())
	if by != nil {
		authorities = x509bundle.FromX509Authorities(by.trustDomain, by.anchors)
	}
	config := tlsconfig.TLSClientConfig(authorities, tlsconfig.AuthorizeID(e.spiffe.ID))
	library := config.VerifyPeerCertificate
	// It is asked at each handshake, for there is no session to resume. Our own rules are
	// stricter, and say more.
	config.VerifyPeerCertificate = func(raw [][]byte, chains [][]*x509.Certificate) error {
		sent := make([]*x509.Certificate, len(raw))
		for i := range raw {
			var err error
			if sent[i], err = x509.ParseCertificate(raw[i]); err != nil {
				return err
			}
		}
		if err := e.spiffe.Verify(sent, e.spiffe.ID, by, e.now()); err != nil {
			return err
		}
		return library(raw, chains)
	}
	return config
}

// newClient makes the client for one fetch.
func (e *Endpoint) newClient(by *Snapshot) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:           nil, // not even one that the environment names
			TLSClientConfig: e.tlsConfig(by),
			// Each request shakes hands anew, so that each one is checked.
			DisableKeepAlives: true,
			// The limit is on what is read, so nothing may grow after it.
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeaderBytes,
		},
		// Redirects are followed by fetch itself: the client would send a Referer, and
		// would not look at the target's form.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
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
// to be shown whole, a digest follows: no two endpoints have the same origin. In the
// profile https_spiffe whom it has to be is a part of it, and of its initial bundle the
// beginning of a digest: with another one, the endpoint is got to know anew.
func (e *Endpoint) Origin() string { return e.origin }

// Fetch asks the configured URL for the document, within ten seconds. Only an
// answer with status 200 and at most 1 MiB counts (BE-9); its content type does
// not matter. In the profile https_spiffe the endpoint is judged by its initial bundle:
// [Set.Ask] knows better.
func (e *Endpoint) Fetch(ctx context.Context) (Document, error) {
	return e.fetch(ctx, e.spiffe.Initial)
}

// fetch judges an endpoint with the profile https_spiffe by a bundle of its own trust
// domain; without one nobody is good.
func (e *Endpoint) fetch(ctx context.Context, by *Snapshot) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, e.timeout)
	defer cancel()
	client := e.newClient(by)
	var document Document
	// A redirect is good for this fetch only; the next starts at e.url (BE-11).
	for at := e.url; ; {
		data, next, err := e.get(ctx, client, at)
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
func (e *Endpoint) get(ctx context.Context, client *http.Client, at *url.URL) ([]byte, *url.URL, error) {
	request := (&http.Request{
		Method: http.MethodGet,
		URL:    at,
		Host:   at.Host,
		Header: http.Header{"Accept": {"application/json"}, "User-Agent": {"svidgate"}},
	}).WithContext(ctx)
	response, err := client.Do(request)
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
