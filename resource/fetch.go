package resource

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// newHTTPClient makes the client of one issuer: no redirects (FX-2), no proxy
// from the environment (FX-1), the clock that everything else uses.
func newHTTPClient(roots *x509.CertPool, now func() time.Time) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext:            (&net.Dialer{Timeout: fetchTime}).DialContext,
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, Time: now},
			TLSHandshakeTimeout:    fetchTime,
			ResponseHeaderTimeout:  fetchTime,
			DisableKeepAlives:      true, // minutes lie between two fetches
			MaxResponseHeaderBytes: 32 << 10,
			MaxConnsPerHost:        2,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       fetchTime,
	}
}

// begin starts a fetch; k.mu is held. It does not end with the request that
// wanted it, because others may wait for it by then.
func (k *RemoteKeys) begin(ctx context.Context) *flight {
	f := &flight{done: make(chan struct{})}
	k.flight = f
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), k.fetchTime)
	go func() {
		defer cancel()
		f.err = k.fetch(ctx)
		k.mu.Lock()
		k.flight = nil
		k.mu.Unlock()
		close(f.done)
	}()
	return f
}

// fetch replaces the keys, or changes nothing and says why in the log.
func (k *RemoteKeys) fetch(ctx context.Context) error {
	// The age of keys counts from before the server wrote its answer.
	began := k.now()
	set, document, err := k.download(ctx)
	digest := sha256.Sum256(document.body)
	k.mu.Lock()
	k.lastErr = err
	changed := err == nil && digest != k.lastBody
	if err == nil {
		k.lastBody, k.keep = digest, document.keep
		set.fetchedAt = began
		k.current.Store(set)
	}
	k.mu.Unlock()
	if err != nil {
		st := k.Status()
		k.log.WarnContext(ctx, "keys of the authorization server were not refreshed",
			"issuer", k.issuer, logError, err.Error(), "usable", st.Usable, "stale", st.Stale, "fetched_at", st.FetchedAt)
		return err
	}
	if changed {
		k.log.InfoContext(ctx, "keys of the authorization server", "issuer", k.issuer, "key_ids", set.KeyIDs())
		for _, out := range set.leftOut {
			k.log.WarnContext(ctx, "a key of the authorization server was left out",
				"issuer", k.issuer, "index", out.Index, logRule, out.Rule, logWhy, out.Why)
		}
	}
	return nil
}

// A document is what a server answered with.
type document struct {
	body []byte
	keep time.Duration // as maxAge says
}

func (k *RemoteKeys) download(ctx context.Context) (*KeySet, document, error) {
	url := k.jwksURL
	if url == "" {
		var err error
		if url, err = k.discover(ctx); err != nil {
			return nil, document{}, err
		}
	}
	d, err := k.get(ctx, url)
	if err != nil {
		return nil, document{}, err
	}
	set, err := ParseKeySet(d.body)
	return set, d, err
}

// discover asks the issuer's metadata where its keys are (RFC 8414 section 3).
// Without the comparison of issuers, whoever can make us read another server's
// document could pass that server's keys for this issuer's (AK-2).
func (k *RemoteKeys) discover(ctx context.Context) (string, error) {
	metadata, err := k.get(ctx, metadataURL(k.issuer))
	if err != nil {
		return "", err
	}
	members, err := strictjson.Object(metadata.body)
	if err != nil {
		return "", fmt.Errorf("metadata: %w", err)
	}
	value, _ := members.Get("issuer")
	if issuer, _ := value.Text(); issuer != k.issuer {
		return "", fmt.Errorf("metadata: issuer is %s and not %s (AM-2)", shown(value), oauth.Shown(k.issuer))
	}
	value, _ = members.Get("jwks_uri")
	url, ok := value.Text()
	if !ok {
		return "", errors.New("metadata: there is no jwks_uri (AM-4)")
	}
	if err := checkURL(url); err != nil {
		return "", fmt.Errorf("metadata: jwks_uri %w (FX-1)", err)
	}
	return url, nil
}

// metadataURL is where the document lives (AM-1), of an issuer that New has
// checked.
func metadataURL(issuer string) string { return oauth.MetadataURL(issuer) }

// get reads a document of at most MaxKeySet bytes.
func (k *RemoteKeys) get(ctx context.Context, url string) (document, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return document{}, fmt.Errorf("fetch: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	resp, err := k.http.Do(req)
	if err != nil {
		return document{}, fmt.Errorf("fetch: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return document{}, fmt.Errorf("fetch %s: status %d", oauth.Shown(url), resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxKeySet+1))
	if err != nil {
		return document{}, fmt.Errorf("fetch %s: %w", oauth.Shown(url), err)
	}
	if len(body) > MaxKeySet {
		return document{}, fmt.Errorf("fetch %s: more than %d bytes (FX-1)", oauth.Shown(url), MaxKeySet)
	}
	return document{body: body, keep: maxAge(resp.Header)}, nil
}

// maxAge is how long an answer may be kept by its Cache-Control (RFC 9111 section
// 5.2.2.1), less the time that it spent in caches. It is 0 when it does not say, or
// says that nothing may be kept, which is no pace to fetch at.
func maxAge(h http.Header) time.Duration {
	for directive := range strings.SplitSeq(strings.Join(h.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		if !strings.EqualFold(name, "max-age") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
		if err != nil || seconds == 0 {
			return 0
		}
		age, _ := strconv.ParseUint(h.Get("Age"), 10, 31)
		if age >= seconds {
			return time.Second // it is due already
		}
		return time.Duration(seconds-age) * time.Second
	}
	return 0
}
