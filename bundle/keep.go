package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

const (
	// keepInterval is the time between two writes of a document that did not
	// change. Its age on disk is at most so much too high.
	keepInterval = 30 * time.Second
	// keepSkew is how far in the future a kept document may lie.
	keepSkew = time.Minute
	// keptMagic begins a file of ours; a version and a checksum follow.
	keptMagic   = "svidgate-bundle "
	keptVersion = "1"
	// maxKeptHeader bounds what stands before the document in such a file.
	maxKeptHeader = 64 << 10
)

var (
	errNotKept      = errors.New("it is not a bundle that was kept")
	errKeptDamaged  = errors.New("it is damaged: the SHA-256 it names is another one")
	errOtherOrigin  = errors.New("it is of another origin than the configured one")
	errOtherDomain  = errors.New("it is of another trust domain")
	errFromTomorrow = errors.New("it was confirmed in the future")
)

// A kept is the last good document of a trust domain as it is on disk (BE-15).
type kept struct {
	TrustDomain string    `json:"trust_domain"`
	Origin      string    `json:"origin"`
	Confirmed   time.Time `json:"confirmed"` // when the source was asked
	SHA256      string    `json:"sha256"`    // of the document, in hex
	document    []byte
}

// encode writes three parts: a line with the format's version and the SHA-256 of
// all that follows, a line of JSON, and the document as its source sent it.
func (k kept) encode() ([]byte, error) {
	sum := sha256.Sum256(k.document)
	k.SHA256 = hex.EncodeToString(sum[:])
	header, err := json.Marshal(k)
	if err != nil {
		return nil, err
	}
	rest := append(append(header, '\n'), k.document...)
	whole := sha256.Sum256(rest)
	return append(fmt.Appendf(nil, "%s%s %x\n", keptMagic, keptVersion, whole), rest...), nil
}

// decodeKept reads what encode wrote, and nothing else: one byte that differs is
// one too many.
func decodeKept(data []byte) (kept, error) {
	line, rest, _ := bytes.Cut(data, []byte("\n"))
	line, ok := bytes.CutPrefix(line, []byte(keptMagic))
	if !ok {
		return kept{}, errNotKept
	}
	version, sum, _ := bytes.Cut(line, []byte(" "))
	if string(version) != keptVersion {
		return kept{}, fmt.Errorf("its format has the version %s, not %s", oauth.Shown(string(version)), keptVersion)
	}
	if string(sum) != fmt.Sprintf("%x", sha256.Sum256(rest)) {
		return kept{}, errKeptDamaged
	}
	header, document, _ := bytes.Cut(rest, []byte("\n"))
	var k kept
	if err := json.Unmarshal(header, &k); err != nil {
		return kept{}, errNotKept
	}
	if k.SHA256 != fmt.Sprintf("%x", sha256.Sum256(document)) {
		return kept{}, errKeptDamaged
	}
	k.document = document
	return k, nil
}

// A keptFile is where the document of one trust domain is kept. All the domains
// that follow each other under that name share it.
type keptFile struct {
	folder folder
	name   string

	mu    sync.Mutex        // held while the file is written or deleted
	owner *domain           // who may write it; nil once the trust domain is gone
	tried time.Time         // when it was last written, or that failed
	sum   [sha256.Size]byte // of the document that was then to be written
	alien bool              // what is there has another origin
}

func (k *keptFile) isAlien() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.alien
}

// newKeptDomain is a domain that goes on with what was kept of it, if that is
// any good. Whatever is wrong with it is in the log and stops nobody.
func (s *Set) newKeptDomain(td TrustDomain) *domain {
	d := newDomain(td)
	if s.folder == "" {
		return d
	}
	d.file = &keptFile{folder: s.folder, name: keptName(d.name), owner: d}
	log := s.log.With(keyTrustDomain, d.name.Name(), keyKept, s.folder.path(d.file.name))
	switch err := s.restore(d); {
	case err == nil:
		log.Info("kept bundle restored", keyOrigin, d.origin, keyConfirmed, d.current.Load().fetchedAt)
	case !errors.Is(err, fs.ErrNotExist):
		d.file.alien = errors.Is(err, errOtherOrigin)
		log.Warn("kept bundle put aside", keyWhy, err.Error())
	}
	return d
}

// restore puts in use what was kept: for this name and origin only, and if
// today's rules accept it. It is as old as it was, so that a restart makes no
// bundle younger (BE-15), and its sequence goes on to count (BU-14).
func (s *Set) restore(d *domain) error {
	data, err := s.folder.read(d.file.name)
	if err != nil {
		return err
	}
	k, err := decodeKept(data)
	switch {
	case err != nil:
		return err
	case k.TrustDomain != d.name.Name():
		return errOtherDomain
	case k.Origin != d.origin:
		return errOtherOrigin
	case k.Confirmed.Sub(s.now()) > keepSkew:
		return errFromTomorrow
	}
	snapshot, err := Parse(d.name, k.document, k.Confirmed)
	if err != nil {
		return err
	}
	snapshot.generation = s.generation.Add(1)
	d.document = sha256.Sum256(k.document)
	d.fromDisk = true
	d.current.Store(snapshot)
	d.file.tried, d.file.sum = k.Confirmed, d.document
	return nil
}

// keep writes what was fetched to disk before it is in use: once it has judged
// anything, no crash leads back to the bundle before it (BU-14). That it cannot
// be kept is told, and no reason to refuse it.
func (s *Set) keep(d *domain, f *fetched) {
	if d.file == nil || f.document.Local {
		return
	}
	tried, err := d.file.write(d, f)
	if !tried {
		return
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.keepFault = text
}

// write keeps what d fetched, and reports whether it tried to. A document that
// is on disk already, or could not be written just now, has to wait.
func (k *keptFile) write(d *domain, f *fetched) (tried bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.owner != d {
		return false, nil // BE-16: what is gone does not come back
	}
	if since := f.started.Sub(k.tried); k.sum == f.sum && since >= 0 && since < keepInterval {
		return false, nil
	}
	k.tried, k.sum, k.alien = f.started, f.sum, false
	data, err := kept{
		TrustDomain: d.name.Name(), Origin: d.origin, Confirmed: f.started.UTC(), document: f.document.Bytes,
	}.encode()
	if err == nil {
		err = k.folder.write(k.name, data)
	}
	return true, err
}

// handOver makes another domain the one that may write. What there is belongs to
// its origin and stays only with that.
func (k *keptFile) handOver(next *domain, sameOrigin bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.owner = next
	if sameOrigin {
		return nil
	}
	k.tried, k.sum, k.alien = time.Time{}, [sha256.Size]byte{}, false
	return k.folder.remove(k.name)
}
