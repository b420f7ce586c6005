package challenge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"time"
)

// Slot is for how long one challenge is given. It is good in that slot and the
// next: for 5 to 10 minutes.
const Slot = 5 * time.Minute

// KeySize is the length of a key.
const KeySize = sha256.Size

// purpose keeps the key's MACs apart from any other that it may be used for.
const purpose = "svidgate attestation challenge\x00"

// Challenges are those of one key. It is safe for concurrent use.
type Challenges struct {
	key [KeySize]byte
	now func() time.Time
}

// New makes challenges of a key, which nobody else may know but servers that shall
// accept each other's challenges.
func New(key [KeySize]byte, now func() time.Time) *Challenges { return &Challenges{key, now} }

// Format keeps the key out of whatever prints them.
func (c *Challenges) Format(f fmt.State, _ rune) { io.WriteString(f, "challenges") }

// LogValue does the same for slog.
func (c *Challenges) LogValue() slog.Value { return slog.StringValue("challenges") }

// Fresh is the challenge of this moment.
func (c *Challenges) Fresh() string { return c.of(c.slot()) }

// Current reports whether a challenge is that of this slot or of the one before.
func (c *Challenges) Current(challenge string) bool {
	slot := c.slot()
	given := []byte(challenge)
	return hmac.Equal(given, []byte(c.of(slot))) || hmac.Equal(given, []byte(c.of(slot-1)))
}

func (c *Challenges) slot() int64 { return c.now().Unix() / int64(Slot/time.Second) }

func (c *Challenges) of(slot int64) string {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write(binary.BigEndian.AppendUint64([]byte(purpose), uint64(slot)))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
