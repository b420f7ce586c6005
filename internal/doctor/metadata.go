package doctor

import (
	"context"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/inspect"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
	"github.com/svidgate/svidgate/resource"
)

// metadata is what later checks need of the document of RFC 8414.
type metadata struct {
	issuer, tokenEndpoint, alias, jwksURI string
	methods                               []string
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// get reads a document of the server's.
func (p *patient) get(ctx context.Context, url string, limit int64) (status int, header http.Header, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Accept", "application/json")
	resp, err := p.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("it is longer than %d bytes", limit)
	}
	return resp.StatusCode, resp.Header, body, err
}

// maxMetadata is what a client reads of the document.
const maxMetadata = 64 << 10

func serverMetadata(ctx context.Context, p *patient) verdict {
	at := oauth.MetadataURL(p.Issuer)
	began := p.Now()
	status, header, body, err := p.get(ctx, at, maxMetadata)
	if date, e := http.ParseTime(header.Get("Date")); e == nil {
		ended := p.Now()
		p.date, p.dated = date, began.Add(ended.Sub(began)/2)
	}
	switch {
	case err != nil:
		return failed("check what answers there", "%s: %s", oauth.Shown(at), cause(err))
	case status != http.StatusOK:
		return p.misplaced(ctx, at, status)
	}
	if media, _, err := mime.ParseMediaType(header.Get("Content-Type")); err != nil || media != "application/json" {
		return failed("check whether a proxy or another server answers there", "%s is not application/json (AM-1)", oauth.Shown(at))
	}
	members, err := strictjson.Object(body)
	if err != nil {
		return failed("check what answers there", "%s: %s (GL-11)", oauth.Shown(at), err)
	}
	p.document = read(members)
	p.facts |= factMetadata
	if p.document.issuer != p.Issuer {
		return failed(fmt.Sprintf("use the issuer as the server writes it: --issuer %s", oauth.Shown(p.document.issuer)),
			"the document is for %s, not for %s; %s (AM-2)", oauth.Shown(p.document.issuer), oauth.Shown(p.Issuer), difference(p.document.issuer, p.Issuer))
	}
	p.facts |= factIssuer
	if v, bad := odd(oauth.Shown(at), inspect.ServerRemarks(members), "look at the server's configuration"); bad {
		return v
	}
	found := fmt.Sprintf("%s: %s", oauth.Shown(at), oauth.Shown(strings.Join(p.document.methods, ", ")))
	if slices.Contains(p.document.methods, string(oauth.MethodX509)) {
		if p.document.alias != "" {
			found += ", mutual TLS at " + oauth.Shown(p.document.alias)
		} else {
			found += ", mutual TLS at the same endpoint"
		}
	}
	return passed("%s", found)
}

func read(members strictjson.Members) metadata {
	text := func(m strictjson.Members, name string) string {
		v, _ := m.Get(name)
		s, _ := v.Text()
		return s
	}
	d := metadata{issuer: text(members, "issuer"), tokenEndpoint: text(members, "token_endpoint"), jwksURI: text(members, "jwks_uri")}
	v, _ := members.Get("token_endpoint_auth_methods_supported")
	d.methods, _ = v.Texts()
	if v, ok := members.Get("mtls_endpoint_aliases"); ok {
		if aliases, err := v.Object(); err == nil {
			d.alias = text(aliases, "token_endpoint")
		}
	}
	return d
}

// misplaced looks where else people put the document.
func (p *patient) misplaced(ctx context.Context, at string, status int) verdict {
	base := strings.TrimSuffix(p.Issuer, "/")
	for _, other := range []string{base + oauth.PathASMetadata, base + oauth.PathOIDC} {
		if other == at {
			continue
		}
		if code, _, _, err := p.get(ctx, other, maxMetadata); err == nil && code == http.StatusOK {
			return failed("have it served at "+oauth.Shown(at)+" too: the well-known path stands between host and path (AM-1)",
				"%s answers %d, though there is a document at %s", oauth.Shown(at), status, oauth.Shown(other))
		}
	}
	return failed("check the issuer's host, port and path", "%s answers %d, not 200", oauth.Shown(at), status)
}

func serverKeys(ctx context.Context, p *patient) verdict {
	if p.document.jwksURI == "" {
		return failed("look at the server's configuration", "the metadata names no jwks_uri (AM-4)")
	}
	at := oauth.Shown(p.document.jwksURI)
	if !strings.HasPrefix(p.document.jwksURI, "https://") {
		return failed("look at the server's configuration", "%s is not https (FX-1)", at)
	}
	status, _, body, err := p.get(ctx, p.document.jwksURI, resource.MaxKeySet)
	if err != nil {
		return failed("check that this host, and every API, reaches it", "%s: %s", at, cause(err))
	}
	if status != http.StatusOK {
		return failed("check what answers there", "%s answers %d, not 200", at, status)
	}
	set, err := resource.ParseKeySet(body)
	if err != nil {
		return failed("check what answers there", "%s: %s", at, oauth.Shown(err.Error()))
	}
	if set.Len() == 0 {
		why := "it is empty"
		if out := set.LeftOut(); len(out) > 0 {
			why = fmt.Sprintf("%s (%s)", out[0].Why, out[0].Rule)
		}
		return failed("run `svidgate keys list` at the server", "%s has no key that verifies access tokens: %s", at, oauth.Shown(why))
	}
	p.keys, p.jwks = set, body
	p.facts |= factKeys
	return passed("%d at %s, kid %s", set.Len(), at, oauth.Shown(strings.Join(set.KeyIDs(), ", ")))
}
