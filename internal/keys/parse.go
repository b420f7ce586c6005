package keys

import (
	"cmp"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
)

// parse reads the document. Errors repeat nothing of it: its one interesting
// part is secret.
func parse(data []byte) (*document, error) {
	members, err := strictjson.Object(data)
	if err != nil {
		return nil, err
	}
	v, ok := members.Get("version")
	if !ok {
		return nil, errors.New("version is missing")
	}
	n, ok := v.Uint64()
	switch {
	case !ok || n == 0:
		return nil, fmt.Errorf("version is not 1 or %d", version)
	case n > version:
		return nil, fmt.Errorf("version is %d: a later release of this software wrote it, and this one reads 1 and %d only", n, version)
	}
	d := &document{old: n == 1}
	if d.old {
		err = only(members, "version", "keys")
		d.cacheFor = maxCache // what the release that wrote it said
	} else {
		err = cmp.Or(only(members, "version", "keys", memberCacheFor, memberCopies),
			readSeconds(members, memberCacheFor, maxCache, &d.cacheFor), readTime(members, memberCopies, &d.copiesUntil))
	}
	if err != nil {
		return nil, err
	}
	if d.cacheFor == 0 {
		return nil, errors.New(memberCacheFor + " is missing")
	}
	v, _ = members.Get("keys")
	entries, ok := v.Items()
	if !ok {
		return nil, errors.New("keys is missing or not a list")
	}
	count := map[State]int{}
	for i, entry := range entries {
		k, err := parseKey(entry, d.old)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if d.find(k.id) != nil {
			return nil, fmt.Errorf("key %d: it stands there twice", i+1) // KR-1
		}
		count[k.state]++
		d.keys = append(d.keys, k)
	}
	if n := count[StateActive]; n != 1 {
		return nil, fmt.Errorf("%d keys are active, not one", n)
	}
	if n := count[StatePending]; n > 1 {
		return nil, fmt.Errorf("%d keys are pending, not one at most", n)
	}
	return d, nil
}

var (
	everyKey  = []string{"kid", "alg", "state", "created", "private_key"}
	lifeOfKey = []string{memberDueActive, memberDueRemoved, memberActivated, memberRetired, memberLongest}
)

func parseKey(entry strictjson.Value, old bool) (key, error) {
	members, err := entry.Object()
	if err != nil {
		return key{}, err
	}
	if err := only(members, slices.Concat(everyKey, lifeOfKey)...); err != nil {
		return key{}, err
	}
	texts := map[string]string{}
	for _, name := range everyKey {
		v, _ := members.Get(name)
		text, ok := v.Text()
		if !ok {
			return key{}, fmt.Errorf("%s is missing or not a string", name)
		}
		texts[name] = text
	}
	k := key{id: texts["kid"], alg: jose.Algorithm(texts["alg"]), state: State(texts["state"])}
	if !slices.Contains(Algorithms, k.alg) {
		return key{}, fmt.Errorf("alg is not one of %s", list(Algorithms))
	}
	if err := cmp.Or(readTime(members, "created", &k.created), k.parseLife(members, old)); err != nil {
		return key{}, err
	}
	if k.private, err = parsePrivate(texts["private_key"]); err != nil {
		return key{}, err
	}
	if err := jose.Fits(k.alg, k.private.Public()); err != nil { // KR-4
		return key{}, err
	}
	id, err := jose.Thumbprint(k.private.Public())
	if err != nil {
		return key{}, errors.New("private_key has no thumbprint")
	}
	if id != k.id {
		return key{}, errors.New("kid is not the thumbprint of the key")
	}
	return k, nil
}

// parseLife reads what goes with the state, and refuses what does not.
func (k *key) parseLife(members strictjson.Members, old bool) error {
	var needed, optional []string
	switch {
	case k.state == StateActive && old, k.state == StateRetiring && old:
	case k.state == StatePending && !old:
		needed = []string{memberDueActive}
	case k.state == StateActive:
		needed = []string{memberActivated, memberLongest}
	case k.state == StateRetiring:
		// Version 1 did not tell when one of its keys became active or retired.
		optional = []string{memberActivated, memberRetired}
		needed = []string{memberDueRemoved, memberLongest}
	case old:
		return fmt.Errorf("state is neither %s nor %s", StateActive, StateRetiring)
	default:
		return fmt.Errorf("state is neither %s nor %s nor %s", StatePending, StateActive, StateRetiring)
	}
	if only(members, slices.Concat(everyKey, needed, optional)...) != nil {
		return fmt.Errorf("a member does not go with the state %s", k.state)
	}
	for _, name := range needed {
		if _, ok := members.Get(name); !ok {
			return fmt.Errorf("%s is missing", name)
		}
	}
	return cmp.Or(readTime(members, memberDueActive, &k.due), readTime(members, memberDueRemoved, &k.due),
		readTime(members, memberActivated, &k.activated), readTime(members, memberRetired, &k.retired),
		readSeconds(members, memberLongest, maxLongest, &k.longest))
}

// readTime reads a time, if it is there, to the second. The years at both ends
// have no room for another zone or for a life.
func readTime(members strictjson.Members, name string, to *time.Time) error {
	v, ok := members.Get(name)
	if !ok {
		return nil
	}
	text, _ := v.Text()
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9900 {
		return fmt.Errorf("%s is not a time of RFC 3339", name)
	}
	*to = stamp(t)
	return nil
}

// readSeconds reads a number of seconds, if it is there.
func readSeconds(members strictjson.Members, name string, most time.Duration, to *time.Duration) error {
	v, ok := members.Get(name)
	if !ok {
		return nil
	}
	n, ok := v.Uint64()
	if !ok || n == 0 || n > uint64(most/time.Second) {
		return fmt.Errorf("%s is not a number of seconds from 1 to %d", name, most/time.Second)
	}
	*to = time.Duration(n) * time.Second
	return nil
}

func parsePrivate(text string) (crypto.Signer, error) {
	// The causes are kept back: they may repeat bytes of the key.
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, errors.New("private_key is not base64")
	}
	private, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, errors.New("private_key is not a whole PKCS #8 key")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return nil, errors.New("private_key is of a kind that does not sign")
	}
	return signer, nil
}

// only refuses members of other names: a misspelt one must not pass for a
// missing one.
func only(members strictjson.Members, allowed ...string) error {
	for _, m := range members {
		if !slices.Contains(allowed, m.Name) {
			return errors.New("a member has an unknown name")
		}
	}
	return nil
}
