package jose

import (
	"crypto/elliptic"
	"errors"
)

// ECDSA signatures have two forms: r and s side by side, each as long as the
// curve's order (RFC 7518 section 3.4), and the DER form of the standard library
// and of every crypto.Signer. A token's signature changes its form once on each
// side, so this is done without reflection and large integers.

// orderSize is how many bytes r and s have each.
func orderSize(c elliptic.Curve) int { return (c.Params().BitSize + 7) / 8 }

// maxDER is the DER form of the longest signature, that of P-521: two integers of
// up to 66 bytes with a zero in front and two bytes of head each, and three bytes
// of head for both.
const maxDER = 3 + 2*(2+1+66)

// appendDER appends the DER form of r and s side by side.
func appendDER(b, rs []byte) []byte {
	half := len(rs) / 2
	r, s := derInteger(rs[:half]), derInteger(rs[half:])
	length := r.size() + s.size()
	b = append(b, 0x30)
	if length >= 0x80 {
		b = append(b, 0x81)
	}
	b = append(b, byte(length))
	return s.append(r.append(b))
}

// A derInteger is the magnitude of a positive integer, with zeros in front or
// without.
type derInteger []byte

// shortest has no zeros in front but the one that keeps it positive.
func (n derInteger) shortest() (zero bool, magnitude []byte) {
	m := []byte(n)
	for len(m) > 0 && m[0] == 0 {
		m = m[1:]
	}
	return len(m) == 0 || m[0] >= 0x80, m
}

func (n derInteger) size() int {
	zero, m := n.shortest()
	if zero {
		return 2 + 1 + len(m)
	}
	return 2 + len(m)
}

func (n derInteger) append(b []byte) []byte {
	zero, m := n.shortest()
	b = append(b, 0x02, byte(n.size()-2))
	if zero {
		b = append(b, 0)
	}
	return append(b, m...)
}

var errDER = errors.New("the signer returned no ECDSA signature")

// joinedRS is the reverse of appendDER: r and s of size bytes each. It reads the
// DER form only, and refuses what does not fit.
func joinedRS(der []byte, size int) ([]byte, error) {
	body, rest, ok := derElement(der, 0x30)
	if !ok || len(rest) != 0 {
		return nil, errDER
	}
	out := make([]byte, 2*size)
	for i := range 2 {
		var integer []byte
		if integer, body, ok = derElement(body, 0x02); !ok || !fillInteger(out[i*size:(i+1)*size], integer) {
			return nil, errDER
		}
	}
	if len(body) != 0 {
		return nil, errDER
	}
	return out, nil
}

// fillInteger writes a positive integer to the end of out.
func fillInteger(out, integer []byte) bool {
	if len(integer) == 0 || integer[0] >= 0x80 || len(integer) > 1 && integer[0] == 0 && integer[1] < 0x80 {
		return false // empty, negative, or with a zero too many
	}
	if integer[0] == 0 {
		integer = integer[1:]
	}
	if len(integer) > len(out) {
		return false
	}
	copy(out[len(out)-len(integer):], integer)
	return true
}

// derElement takes the element with this tag off the front of b.
func derElement(b []byte, tag byte) (body, rest []byte, ok bool) {
	if len(b) < 2 || b[0] != tag {
		return nil, nil, false
	}
	length, b := int(b[1]), b[2:]
	if length >= 0x80 {
		if length != 0x81 || len(b) < 1 || b[0] < 0x80 {
			return nil, nil, false
		}
		length, b = int(b[0]), b[1:]
	}
	if length > len(b) {
		return nil, nil, false
	}
	return b[:length], b[length:], true
}
