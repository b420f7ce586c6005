package jose

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"math/big"
	"testing"
)

// Our DER form of a signature is the standard library's, for each curve and for
// integers of any length.
func TestDERFormIsTheStandardOne(t *testing.T) {
	for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
		size := orderSize(curve)
		for shift := range 8*size + 1 {
			r := new(big.Int).Rsh(new(big.Int).Sub(curve.Params().N, big.NewInt(1)), uint(shift))
			s := new(big.Int).Add(r, big.NewInt(1))
			s.Mod(s, curve.Params().N)
			want, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
			if err != nil {
				t.Fatal(err)
			}
			rs := make([]byte, 2*size)
			r.FillBytes(rs[:size])
			s.FillBytes(rs[size:])
			if got := appendDER(nil, rs); !bytes.Equal(got, want) || len(got) > maxDER {
				t.Fatalf("%s: %x, want %x", curve.Params().Name, got, want)
			}
			if back, err := joinedRS(want, size); err != nil || !bytes.Equal(back, rs) {
				t.Fatalf("%s: %x, %v, want %x", curve.Params().Name, back, err, rs)
			}
		}
	}
}

// FuzzDER: what joinedRS takes, it takes in one form only, and the standard
// library reads the same two integers from it.
func FuzzDER(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	digest := sha256.Sum256(nil)
	good, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		good, good[:len(good)-1], append(bytes.Clone(good), 0), {}, {0x30, 0}, {0x30, 6, 2, 1, 1, 2, 1, 1}, {0x30, 6, 2, 1, 0x80, 2, 1, 1},
		{0x30, 7, 2, 2, 0, 1, 2, 1, 1}, {0x30, 0x81, 6, 2, 1, 1, 2, 1, 1}, {0x30, 0x80, 2, 1, 1, 2, 1, 1, 0, 0}, {0x30, 4, 2, 0, 2, 0},
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		rs, err := joinedRS(der, 32)
		if err != nil {
			return
		}
		if again := appendDER(nil, rs); !bytes.Equal(again, der) {
			t.Fatalf("%x has another form %x", der, again)
		}
		var standard struct{ R, S *big.Int }
		if rest, err := asn1.Unmarshal(der, &standard); err != nil || len(rest) != 0 {
			t.Fatalf("the standard library refuses %x: %v", der, err)
		}
		if standard.R.Cmp(new(big.Int).SetBytes(rs[:32])) != 0 || standard.S.Cmp(new(big.Int).SetBytes(rs[32:])) != 0 {
			t.Fatalf("%x is read as %x", der, rs)
		}
	})
}
