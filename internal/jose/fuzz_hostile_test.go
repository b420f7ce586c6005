package jose_test

import (
	"slices"
	"testing"

	"github.com/svidgate/svidgate/internal/jose"
)

// Whatever the algorithm, a token with one byte changed, put in or taken out
// does not verify, and what refuses it does so twice.
func FuzzEditedToken(f *testing.F) {
	algorithms := append(slices.Clone(jose.SVIDAlgorithms), jose.EdDSA)
	tokens := map[jose.Algorithm]string{}
	for i, alg := range algorithms {
		tokens[alg] = sign(f, alg, testKey(f, keyNameFor[alg]))
		for at := 0; at < len(tokens[alg]); at += 29 {
			f.Add(uint(i), uint(at), byte(1<<(at%8)), byte(at))
		}
	}
	f.Fuzz(func(t *testing.T, which, at uint, bits, how byte) {
		alg := algorithms[which%uint(len(algorithms))]
		valid := tokens[alg]
		i := int(at % uint(len(valid)))
		changed := valid[:i] + string([]byte{valid[i] ^ bits}) + valid[i+1:]
		switch how % 3 {
		case 1:
			changed = valid[:i] + string([]byte{bits}) + valid[i:]
		case 2:
			changed = valid[:i] + valid[i+1:]
		}
		verify := func() error {
			c, err := jose.ParseCompact(changed)
			if err != nil {
				return err
			}
			return c.Verify(alg, testKey(t, keyNameFor[alg]).Public())
		}
		err, again := verify(), verify()
		if (err == nil) != (changed == valid) {
			t.Fatalf("%s: byte %d changed: %v", alg, i, err)
		}
		if err != nil && err.Error() != again.Error() {
			t.Fatalf("%s: two answers: %v and %v", alg, err, again)
		}
	})
}
