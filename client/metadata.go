package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxAnswer bounds the document and every other answer of the server.
	maxAnswer = 64 << 10

	metadataLife  = 5 * time.Minute // AM-9: the server says max-age=300
	metadataRetry = time.Minute     // AM-9: at most one attempt a minute
)

// endless is when metadata becomes worthless: the last good copy serves until a
// newer one comes, or the daily work would need the network twice (LD-5).
const endless = 100 * 365 * 24 * time.Hour

// metadata is what this client needs of the document of RFC 8414 section 2.
type metadata struct {
	tokenEndpoint     string
	mtlsTokenEndpoint string // of mtls_endpoint_aliases; empty when there is none
	challengeEndpoint string // for proofs of WIT-SVIDs; empty when there is none
	method            oauth.AuthMethod
}

// checkIssuer holds the form of RFC 8414 section 2 (AM-2).
func checkIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	switch {
	case issuer == "":
		return errors.New("is missing")
	case err != nil:
		return errors.New("is not a URL")
	case u.Scheme != "https" || !strings.HasPrefix(issuer, "https://"):
		return errors.New("is not an https URL")
	case u.Host == "" || u.User != nil:
		return errors.New("needs a host and no user information")
	case strings.ContainsAny(issuer, "?#"):
		return errors.New("has a query or a fragment")
	}
	return nil
}

// metadataURL is where the document lives (AM-1), of an issuer that checkIssuer has
// passed.
func metadataURL(issuer string) string { return oauth.MetadataURL(issuer) }

func (c *Client) fetchMetadata(ctx context.Context) (lease[metadata], error) {
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	now := c.now()
	m, err := c.readMetadata(ctx)
	if err == nil {
		m.method, err = c.chooseMethod(m.methods)
	}
	if err != nil {
		err = fmt.Errorf("metadata of %s: %w", c.config.Issuer, err)
		if _, ok := c.metadata.peek(); ok {
			err = &waitError{now.Add(jitter(metadataRetry, 1, 1.2)), err}
		}
		return lease[metadata]{}, err
	}
	end := now.Add(endless)
	return lease[metadata]{value: m.metadata, renewAt: now.Add(jitter(metadataLife, 0.8, 1.2)), waitAt: end, end: end}, nil
}

func (c *Client) readMetadata(ctx context.Context) (*document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, metadataURL(c.config.Issuer), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := c.plain.Do(req)
	if err != nil {
		return nil, explainTLS(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK { // a redirect is none either
		return nil, fmt.Errorf("the server answered %d, not 200; is the issuer right?", resp.StatusCode)
	}
	if !isJSON(resp.Header) {
		return nil, errors.New("the answer is not application/json (AM-1)")
	}
	body, err := readBody(resp.Body, maxAnswer)
	if err != nil {
		return nil, err
	}
	return parseMetadata(body, c.config.Issuer)
}

// document is the metadata before a method was chosen.
type document struct {
	metadata
	methods []oauth.AuthMethod // nil when the server does not say (MD-3)
}

// parseMetadata reads and checks a metadata document. The issuer is compared byte
// for byte: a document of somebody else's would have us send assertions meant for
// this server to another (AM-2, BC-7).
func parseMetadata(body []byte, issuer string) (*document, error) {
	members, err := strictjson.Object(body)
	if err != nil {
		return nil, err
	}
	var d document
	if got, _, err := text(members, "issuer"); err != nil || got != issuer {
		return nil, fmt.Errorf("the document is for issuer %q, not for %q (AM-2)", oauth.Shown(got), issuer)
	}
	if d.tokenEndpoint, _, err = text(members, "token_endpoint"); err != nil {
		return nil, err
	}
	if err := checkEndpoint(d.tokenEndpoint); err != nil {
		return nil, fmt.Errorf("token_endpoint: %w", err)
	}
	if v, ok := members.Get("mtls_endpoint_aliases"); ok {
		aliases, err := v.Object()
		if err != nil {
			return nil, errors.New("mtls_endpoint_aliases is not an object")
		}
		alias, present, err := text(aliases, "token_endpoint")
		if err != nil {
			return nil, err
		}
		if present {
			if err := checkEndpoint(alias); err != nil {
				return nil, fmt.Errorf("mtls_endpoint_aliases: %w", err)
			}
			d.mtlsTokenEndpoint = alias
		}
	}
	var present bool
	if d.challengeEndpoint, present, err = text(members, "challenge_endpoint"); err != nil {
		return nil, err
	}
	if present {
		if err := checkEndpoint(d.challengeEndpoint); err != nil {
			return nil, fmt.Errorf("challenge_endpoint: %w", err)
		}
	}
	grants, present, err := texts(members, "grant_types_supported")
	if err != nil {
		return nil, err
	}
	if present && !slices.Contains(grants, string(oauth.GrantClientCredentials)) {
		return nil, errors.New("the server does not offer the client credentials grant")
	}
	methods, present, err := texts(members, "token_endpoint_auth_methods_supported")
	if err != nil {
		return nil, err
	}
	if present {
		d.methods = make([]oauth.AuthMethod, 0, len(methods))
		for _, m := range methods {
			d.methods = append(d.methods, oauth.AuthMethod(m))
		}
	}
	return &d, nil
}

// checkEndpoint holds RFC 6749 section 3.2 and CL-10. Any host will do: servers
// keep mutual TLS on a host of its own.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case endpoint == "":
		return errors.New("is missing")
	case err != nil:
		return errors.New("is not a URL")
	case u.Scheme != "https" || u.Host == "" || u.User != nil:
		return fmt.Errorf("%q is not an https URL with a host (CL-10)", oauth.Shown(endpoint))
	case strings.Contains(endpoint, "#"):
		return fmt.Errorf("%q has a fragment", oauth.Shown(endpoint))
	}
	return nil
}

// chooseMethod picks the method for what the server offers (CA-4, CL-9). A server
// that does not say what it offers gets what is configured.
func (c *Client) chooseMethod(offered []oauth.AuthMethod) (oauth.AuthMethod, error) {
	var able []oauth.AuthMethod // in the order of CA-4
	if c.certificates != nil {
		able = append(able, oauth.MethodX509)
	}
	if c.attestations != nil {
		able = append(able, oauth.MethodWIT)
	}
	if c.assertions != nil {
		able = append(able, oauth.MethodJWT)
	}
	if c.config.Method != "" {
		able = []oauth.AuthMethod{c.config.Method}
	}
	for _, m := range able {
		if offered == nil || slices.Contains(offered, m) {
			return m, nil
		}
	}
	return "", fmt.Errorf("the server offers the methods %s, this workload is set up for %s (CL-9)", names(offered), names(able))
}

func names(methods []oauth.AuthMethod) string {
	if len(methods) == 0 {
		return "(none)"
	}
	list := make([]string, len(methods))
	for i, m := range methods {
		list[i] = string(m)
	}
	return oauth.Shown(strings.Join(list, ", "))
}
