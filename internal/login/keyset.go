package login

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// maxKeys is how many keys a provider may publish.
	maxKeys = 100
	// unknownEvery is how often ID tokens with a key that is not there may have the keys
	// fetched again (KR-6).
	unknownEvery = time.Minute
)

// A keySet is the keys that a provider signs ID tokens with. They are fetched when the
// first ID token comes, and again for one whose key is not among them: one fetch at a
// time, and not before next.
type keySet struct {
	provider *provider
	url      string

	mu      sync.Mutex     // held while they are fetched
	keys    []publishedKey // guarded by mu; nil before they were fetched
	next    time.Time      // guarded by mu
	failure error          // guarded by mu; of the last fetch
}

// A publishedKey is an entry of a provider's JWK Set.
type publishedKey struct {
	jose.JWK
	unfit error // why it verifies nothing; nil for one that may
}

// errUse is why a key for something else verifies nothing (RFC 7517 sections 4.2, 4.3).
//
//svidgate:rule KR-5
var errUse = errors.New("its use is not sig, or its key_ops do not hold verify")

// errAlg is why a key for one algorithm verifies nothing that is signed with another.
//
//svidgate:rule GL-9
var errAlg = errors.New("its alg is another")

// readKey reads an entry. The error is why it may verify nothing.
func readKey(entry strictjson.Value) (jose.JWK, error) {
	k, err := jose.ParseJWK([]byte(entry))
	if err != nil {
		return k, err
	}
	members, _ := entry.Object() // ParseJWK has read it
	for _, m := range members {
		text, _ := m.Value.Text()
		ops, _ := m.Value.Texts()
		switch {
		case m.Name == "use" && text != "sig", m.Name == "key_ops" && !slices.Contains(ops, "verify"):
			return k, errUse
		case m.Name == "alg" && text == "":
			return k, errors.New("its alg is empty or no string")
		}
	}
	return k, nil
}

// fits says why the key does not verify what is signed with alg, if it does not.
func (k publishedKey) fits(alg jose.Algorithm) error {
	if k.unfit != nil {
		return k.unfit
	}
	if k.Algorithm != "" && k.Algorithm != alg {
		return errAlg
	}
	return jose.Fits(alg, k.Key)
}

// A signed is an ID token as far as its header has been judged.
type signed struct {
	*jose.Compact
	alg jose.Algorithm
	kid string // empty for none
}

// readSigned judges the header of an ID token. jku, x5u, x5c and jwk are not looked at.
func readSigned(token string) (signed, error) {
	c, err := jose.ParseCompact(token)
	if err != nil {
		return signed{}, badToken("a compact JWS of a header and claims, each name once", "something else").Because(oauth.ShownError(err))
	}
	alg, _, _ := c.Text("alg")
	kid, hasKID, _ := c.Text("kid")
	typ, hasTyp, _ := c.Text("typ")
	_, hasCrit := c.Header.Get("crit")
	switch {
	case hasTyp && !strings.EqualFold(typ, "JWT") && !strings.EqualFold(typ, "application/jwt"):
		// An access token, a logout token: whatever else is right about it (RFC 8725 3.11).
		return signed{}, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonIDTokenBad, "GL-10", "typ JWT, or none", "typ "+oauth.Shown(typ))
	case hasCrit: // there is no extension we know (RFC 7515 4.1.11)
		return signed{}, oauth.Refuse(oauth.InvalidRequest, oauth.ReasonIDTokenBad, "GL-9", "no crit", "crit")
	case hasKID && kid == "":
		return signed{}, badToken("a kid with something in it, or none", "another")
	}
	return signed{c, jose.Algorithm(alg), kid}, nil
}

// verify returns the claims of an ID token once a key of the provider has verified
// them. The error is an *oauth.Error.
func (s *keySet) verify(ctx context.Context, token string) (claims []byte, err error) {
	t, err := readSigned(token)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known, err := s.try(t)
	if err != nil && !known {
		if err := s.fetch(ctx); err != nil {
			return nil, err
		}
		_, err = s.try(t)
	}
	if err != nil {
		return nil, badToken("a signature by a key that "+s.provider.config.Issuer+" publishes for it", "alg "+string(t.alg)+", kid "+oauth.Shown(t.kid)).Because(oauth.ShownError(err))
	}
	_, payload, _ := strings.Cut(t.SigningInput, ".")
	return base64.RawURLEncoding.DecodeString(payload) // which was decoded before
}

// try verifies a token with the keys that are there. known says that newer keys would
// not help, since there is one of the token's kid. Without a kid, it is the only one
// that fits (KR-6).
func (s *keySet) try(t signed) (known bool, err error) {
	var fitting []crypto.PublicKey
	err = errors.New("there is no such key")
	for _, k := range s.keys {
		if t.kid != "" && k.KeyID != t.kid {
			continue
		}
		if unfit := k.fits(t.alg); unfit != nil {
			err = fmt.Errorf("there is no such key: %w", unfit)
			continue
		}
		fitting = append(fitting, k.Key)
	}
	if t.kid == "" && len(fitting) > 1 {
		return false, errors.New("there are several such keys")
	}
	for _, k := range fitting {
		if err = t.Verify(t.alg, k); err == nil {
			break
		}
	}
	return t.kid != "" && len(fitting) > 0, err
}

// fetch replaces the keys, where it may be done now. The error is why it failed, if it
// did.
func (s *keySet) fetch(ctx context.Context) error {
	now := s.provider.now()
	if now.Before(s.next) {
		return s.failure
	}
	keys, err := s.provider.publishedKeys(ctx, s.url)
	switch {
	case err == nil:
		if s.keys != nil {
			s.next = now.Add(unknownEvery)
		}
		s.keys, s.failure = keys, nil
	case ctx.Err() == nil: // else the person went away, which says nothing of the provider
		s.failure, s.next = err, now.Add(failureKept)
	}
	return err
}

// publishedKeys fetches the keys of the provider, of which there may be none.
func (p *provider) publishedKeys(ctx context.Context, url string) ([]publishedKey, error) {
	what := "the keys of " + p.config.Issuer
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, p.fault(what, err)
	}
	r.Header.Set("Cache-Control", "no-cache")
	response, err := p.http.Do(r)
	if err != nil {
		return nil, p.fault(what, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, p.badAnswer(what, fmt.Sprintf("status %d", response.StatusCode), nil)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1)) // more than maxDocument is an error
	if err != nil {
		return nil, p.fault(what, err)
	}
	set, err := strictjson.Object(body)
	if err != nil {
		return nil, p.badAnswer(what, "something else", err)
	}
	value, _ := set.Get("keys")
	entries, ok := value.Items()
	if !ok || len(entries) > maxKeys {
		return nil, p.badAnswer(fmt.Sprintf("%s, at most %d", what, maxKeys), "something else", nil)
	}
	keys := make([]publishedKey, 0, len(entries))
	for _, entry := range entries {
		jwk, unfit := readKey(entry)
		keys = append(keys, publishedKey{jwk, unfit})
	}
	return keys, nil
}
