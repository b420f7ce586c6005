package bundle

import (
	"crypto"
	"errors"
	"fmt"
	"slices"

	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// entry reads one entry of `keys` by itself (BU-5). Only what makes the whole
// document worthless comes back as an error.
func (p *parser) entry(index int, raw strictjson.Value) error {
	members, err := raw.Object()
	if err != nil {
		p.leaveOut(index, "", &fault{"BU-1", "the entry is no JSON object"})
		return nil
	}
	use, f := useOf(members)
	if f == nil {
		switch use {
		case UseX509:
			f = p.anchor(index, raw)
		default:
			f, err = p.key(index, use, members, raw)
		}
	}
	if f != nil {
		p.leaveOut(index, string(use), f)
	}
	return err
}

func (p *parser) leaveOut(index int, use string, f *fault) {
	p.out.leftOut = append(p.out.leftOut, LeftOut{index, oauth.Shown(use), f.rule, f.why})
}

func (p *parser) note(index int, use Use, rule, why string) {
	p.out.notes = append(p.out.notes, Note{index, string(use), rule, why})
}

// useOf is BU-4: use is there and is one of three, compared byte for byte. It
// returns what the entry said even beside a fault.
func useOf(members strictjson.Members) (Use, *fault) {
	v, ok := members.Get("use")
	if !ok {
		return "", &fault{"BU-4", "use is missing"}
	}
	text, ok := v.Text()
	if !ok {
		return "", &fault{"BU-4", "use is not a string"}
	}
	switch use := Use(text); use {
	case UseX509, UseJWT, UseWIT:
		return use, nil
	}
	return Use(text), &fault{"BU-4", "use is not one that a SPIFFE bundle has"}
}

// ruleOf is the rule that an error of internal/jose breaks.
func ruleOf(err error, otherwise string) string {
	switch {
	case errors.Is(err, jose.ErrPrivateKey):
		return "BU-20"
	case errors.Is(err, jose.ErrKeyType):
		return "BU-5"
	case errors.Is(err, jose.ErrNoCertificate):
		return "BU-6"
	}
	return otherwise
}

// key reads an entry with the use jwt-svid or wit-svid.
func (p *parser) key(index int, use Use, members strictjson.Members, raw strictjson.Value) (*fault, error) {
	kidRule := "BU-9"
	if use == UseWIT {
		kidRule = "BU-10"
	}
	// A kid or alg of another JSON type must not pass for a missing one: the
	// key would be good for more than its publisher said.
	kid, ok := optionalText(members, "kid")
	if !ok {
		return &fault{kidRule, "kid is not a string"}, nil
	}
	if _, ok := optionalText(members, "alg"); !ok {
		return &fault{"JS-3", "alg is not a string"}, nil
	}
	jwk, err := jose.ParseJWK([]byte(raw))
	if err != nil {
		return faulty(ruleOf(err, "BU-5"), err), nil
	}
	if kid == "" && use == UseWIT {
		return &fault{"BU-10", "kid is missing"}, nil
	}
	if f := fitsSVID(jwk); f != nil {
		return f, nil
	}
	k := Key{ID: kid, Use: use, Algorithm: string(jwk.Algorithm), Public: jwk.Key}
	kept, f, err := p.fold(index, k)
	if err != nil || f != nil || !kept {
		return f, err
	}
	if kid == "" {
		p.note(index, use, "BU-9", "kid is missing; the key serves only tokens without one")
	}
	k.digest = keyDigest(k)
	p.out.keys = append(p.out.keys, k)
	return nil, nil
}

// fold compares a key with those before it and reports whether it is a new one
// (BU-11). Two different keys under one kid are an error: nobody could tell which
// of them a token means, and one of the two may be an attacker's. Entries that
// were left out are not compared; they verify nothing.
func (p *parser) fold(index int, k Key) (kept bool, f *fault, err error) {
	shared := false
	for _, other := range p.out.keys {
		if other.ID != k.ID {
			continue
		}
		same := equalKeys(other.Public, k.Public)
		switch {
		case k.ID == "" && !same: // no kid, so no conflict (JS-14 judges them)
		case !same:
			return false, nil, &DocumentError{"BU-11", fmt.Sprintf("entry %d has the kid of another key: %s", index, oauth.Shown(k.ID))}
		case other.Use != k.Use:
			shared = true
		case other.Algorithm != k.Algorithm:
			return false, &fault{"BU-11", "it repeats an earlier entry with another alg; the earlier one counts"}, nil
		default:
			return false, nil, nil
		}
	}
	if shared {
		p.note(index, k.Use, "BU-10", "the same key has this kid with another use, too")
	}
	return true, nil, nil
}

// fitsSVID is JS-2 and JS-3: at least one of the nine algorithms goes with the
// key, and the entry's own alg, if it names one, is among these.
func fitsSVID(jwk jose.JWK) *fault {
	algorithms := jose.SVIDAlgorithms
	if jwk.Algorithm != "" {
		if !slices.Contains(algorithms, jwk.Algorithm) {
			return &fault{"JS-2", "alg is none that an SVID may be signed with"}
		}
		algorithms = []jose.Algorithm{jwk.Algorithm}
	}
	var weak error
	for _, alg := range algorithms {
		err := jose.Fits(alg, jwk.Key)
		if err == nil {
			return nil
		}
		if errors.Is(err, jose.ErrKeyTooWeak) || weak == nil {
			weak = err
		}
	}
	if errors.Is(weak, jose.ErrKeyTooWeak) || jwk.Algorithm != "" {
		return faulty("JS-3", weak)
	}
	return &fault{"JS-2", "no algorithm of SVIDs goes with a key of type " + jose.KeyType(jwk.Key)}
}

// optionalText is the text of a member, empty without it; false when the member
// is there and is no string.
func optionalText(members strictjson.Members, name string) (string, bool) {
	v, ok := members.Get(name)
	if !ok {
		return "", true
	}
	return v.Text()
}

func equalKeys(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
