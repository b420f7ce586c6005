package login

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
)

// The cost of a password: argon2id with 19 MiB and two passes.
const (
	hashMemory  = 19 * 1024 // KiB
	hashPasses  = 2
	hashThreads = 1
	hashSalt    = 16
	hashLength  = 32
)

const (
	MinPassword = 12   // characters of a password, at least
	MaxPassword = 1024 // and bytes, at most

	// mostHashes bounds the memory that passwords take at once, at 19 MiB each.
	mostHashes = 4
	// hashesWaiting bounds how many sign-ins wait for their turn.
	hashesWaiting = 64
)

// errBusy is for a sign-in that found too many before it.
var errBusy = errors.New("too many passwords are being checked")

// turns are those of all passwords of the process: a quarter of the processors, so
// that whoever tries many takes little from workloads.
var (
	turns   = make(chan struct{}, min(mostHashes, max(1, runtime.GOMAXPROCS(0)/4)))
	waiting = make(chan struct{}, cap(turns)+hashesWaiting)
)

// CheckPassword says what is wrong with a password that somebody chose; the error
// is ErrUnfit.
func CheckPassword(password string) error {
	switch {
	case !utf8.ValidString(password):
		return unfit("a password must be text in UTF-8")
	case strings.ContainsFunc(password, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return unfit("a password must be one line without control characters")
	case utf8.RuneCountInString(password) < MinPassword:
		return unfit(fmt.Sprintf("a password must have at least %d characters", MinPassword))
	case len(password) > MaxPassword:
		return unfit(fmt.Sprintf("a password must have at most %d bytes", MaxPassword))
	}
	return nil
}

// hash makes what is kept of a password, as a PHC string.
func hash(ctx context.Context, password string) (string, error) {
	salt := randomBytes(hashSalt)
	key, err := argon(ctx, password, salt)
	if err != nil {
		return "", err
	}
	return phc(salt, key), nil
}

// decoy is what would be kept of a password that nobody has: its hash is of no
// password, and it takes as long to find that out.
func decoy() string { return phc(randomBytes(hashSalt), randomBytes(hashLength)) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}

// hashedBy begins each PHC string of this program.
var hashedBy = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$", argon2.Version, hashMemory, hashPasses, hashThreads)

func phc(salt, key []byte) string {
	return hashedBy + base64.RawStdEncoding.EncodeToString(salt) + "$" + base64.RawStdEncoding.EncodeToString(key)
}

var errHash = errors.New("what is kept of the password is not of this program")

// matches reports whether a password is the one that kept was made of. It takes as
// long for one that is not.
func matches(ctx context.Context, password, kept string) (bool, error) {
	rest, ok := strings.CutPrefix(kept, hashedBy)
	salt, key, found := strings.Cut(rest, "$")
	if !ok || !found {
		return false, errHash
	}
	saltBytes, err1 := base64.RawStdEncoding.Strict().DecodeString(salt)
	want, err2 := base64.RawStdEncoding.Strict().DecodeString(key)
	if err1 != nil || err2 != nil || len(saltBytes) != hashSalt || len(want) != hashLength {
		return false, errHash
	}
	if len(password) > MaxPassword { // nobody's, and not worth hashing
		password = ""
	}
	got, err := argon(ctx, password, saltBytes)
	return err == nil && subtle.ConstantTimeCompare(got, want) == 1, err
}

// argon waits for its turn, for as long as ctx lets it.
func argon(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case waiting <- struct{}{}:
		defer func() { <-waiting }()
	default:
		return nil, errBusy
	}
	select {
	case turns <- struct{}{}:
		defer func() { <-turns }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, hashPasses, hashMemory, hashThreads, hashLength), nil
}
