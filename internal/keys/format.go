package keys

import (
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"time"
)

const (
	// version is that of the format that is written. Version 1 had neither
	// pending keys nor times but that of a key's creation; it is read.
	version = 2

	// Names of members. Each key has the five of everyKey.
	memberDueActive  = "activate_after"
	memberDueRemoved = "remove_after"
	memberActivated  = "activated"
	memberRetired    = "retired"
	memberLongest    = "longest_token" // in seconds
	memberCacheFor   = "cache_for"     // in seconds
	memberCopies     = "copies_until"
)

// format writes what parse reads.
func format(d *document) ([]byte, error) {
	b := fmt.Appendf(nil, `{"version":%d,"%s":%d`, version, memberCacheFor, d.cacheFor/time.Second)
	b = appendTime(b, memberCopies, d.copiesUntil)
	b = append(b, `,"keys":[`...)
	for i, k := range d.keys {
		der, err := x509.MarshalPKCS8PrivateKey(k.private)
		if err != nil {
			return nil, errors.New("a key has no PKCS #8 form")
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "\n{\"kid\":%q,\"alg\":%q,\"state\":%q", k.id, k.alg, k.state)
		b = appendTime(b, "created", k.created)
		b = appendTime(b, memberActivated, k.activated)
		b = appendTime(b, memberRetired, k.retired)
		switch k.state {
		case StatePending:
			b = appendTime(b, memberDueActive, k.due)
		case StateRetiring:
			b = appendTime(b, memberDueRemoved, k.due)
		}
		if k.longest > 0 {
			b = fmt.Appendf(b, `,"%s":%d`, memberLongest, (k.longest+time.Second-1)/time.Second)
		}
		b = append(b, `,"private_key":`...)
		b = strconv.AppendQuote(b, base64.StdEncoding.EncodeToString(der))
		b = append(b, '}')
	}
	return append(b, "\n]}\n"...), nil
}

func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return fmt.Appendf(b, `,"%s":"%s"`, name, t.Format(time.RFC3339))
}
