package bundle

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/regularfile"
)

var errNoFolder = errors.New("its folder is not a folder")

const (
	keptSuffix = ".bundle"
	tempMark   = ".tmp-"
	// longestName is the longest trust domain name that is used as it is: the
	// longest there may be would leave no room for what is added.
	longestName = 200
	// tempAge is how old a leftover has to be: nobody is writing it any more.
	tempAge = time.Minute
)

// keptName is the file name for a trust domain. No two share one: a name that
// is cut down is marked with a character that none has.
func keptName(td spiffeid.TrustDomain) string {
	name := td.Name()
	if len(name) > longestName {
		return fmt.Sprintf("td~%x%s", sha256.Sum256([]byte(name)), keptSuffix)
	}
	return "td-" + name + keptSuffix // also for . and .., which are trust domains
}

// isKeptName reports whether keptName makes such names.
func isKeptName(name string) bool {
	return (strings.HasPrefix(name, "td-") || strings.HasPrefix(name, "td~")) && strings.HasSuffix(name, keptSuffix)
}

// isTempName reports whether write leaves files of such a name if it is cut off:
// that of the file, the mark, and the digits that os.CreateTemp adds.
func isTempName(name string) bool {
	i := strings.LastIndex(name, tempMark)
	return i >= 0 && isKeptName(name[:i]) && strings.Trim(name[i+len(tempMark):], "0123456789") == ""
}

// A folder holds what was kept of each trust domain.
type folder string

func (f folder) path(name string) string { return filepath.Join(string(f), name) }

// ready makes the folder, or finds why it cannot be used.
func (f folder) ready() error {
	if err := os.MkdirAll(string(f), 0o700); err != nil {
		return withoutPath(err)
	}
	return f.judge()
}

// judge is about who can put a document where the server takes it for its own. A
// sticky bit would not help: it lets anybody add files.
func (f folder) judge() error {
	switch info, err := os.Stat(string(f)); {
	case err != nil:
		return withoutPath(err)
	case !info.IsDir():
		return errNoFolder
	default:
		if err := regularfile.OnlyWeWrite(info); err != nil {
			return fmt.Errorf("its folder is not safe, others could add trust anchors: %w", err)
		}
	}
	return nil
}

// read reads one file that nobody else can have written, and follows no link.
func (f folder) read(name string) ([]byte, error) {
	if _, err := os.Lstat(f.path(name)); err != nil {
		return nil, withoutPath(err) // without a file the folder does not matter
	}
	if err := f.judge(); err != nil {
		return nil, err
	}
	file, err := regularfile.OpenOwn(f.path(name))
	if err != nil {
		return nil, withoutPath(err)
	}
	defer file.Close()
	// One byte more than there may be is enough to make the checksum fail.
	return io.ReadAll(io.LimitReader(file, maxKeptHeader+maxDocument+1))
}

// write puts a file in place, whole or not at all: whoever reads it afterwards,
// also after a crash, finds the one before or the new one. The name it begins
// with is a new one each time, so nothing that a crash left is written to. It is
// not put in place if its time is over by then.
func (f folder) write(name string, data []byte, over func() bool) error {
	if err := f.ready(); err != nil {
		return err
	}
	temp, err := os.CreateTemp(string(f), name+tempMark+"*") // mode 0600
	if err != nil {
		return withoutPath(err)
	}
	_, err = temp.Write(data)
	if err == nil {
		err = temp.Sync()
	}
	if closed := temp.Close(); err == nil {
		err = closed
	}
	if err == nil && over() {
		err = errSuperseded
	}
	if err == nil {
		err = os.Rename(temp.Name(), f.path(name))
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return withoutPath(err)
	}
	return f.sync()
}

// remove deletes a file for good. That there is none is no error.
func (f folder) remove(name string) error {
	switch err := os.Remove(f.path(name)); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return withoutPath(err)
	}
	return f.sync()
}

// sync makes names that were put in place or deleted outlast a crash.
func (f folder) sync() error {
	if runtime.GOOS == "windows" { // it has no such call for folders
		return nil
	}
	dir, err := os.Open(string(f))
	if err != nil {
		return withoutPath(err)
	}
	defer dir.Close()
	return withoutPath(dir.Sync())
}

// isOurs reports whether a file is one that write made.
func (f folder) isOurs(name string) bool {
	file, err := regularfile.OpenOwn(f.path(name))
	if err != nil {
		return false
	}
	defer file.Close()
	begin := make([]byte, len(keptMagic))
	_, err = io.ReadFull(file, begin)
	return err == nil && string(begin) == keptMagic
}

// tidy deletes, once, what a crash left and what was kept of trust domains or
// origins that are not configured any more (BE-16). It leaves alone what is not
// ours. On a disk that does not answer it goes on by itself.
func (s *Set) tidy() {
	s.changing.Lock()
	begins := s.folder != "" && !s.tidied
	s.tidied = true
	s.changing.Unlock()
	if !begins {
		return
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.sweep()
	}()
	ctx, cancel := waitForDisk()
	defer cancel()
	select {
	case <-ended:
	case <-ctx.Done():
		s.log.Warn("the folder of kept bundles is not tidied yet", keyKept, string(s.folder), keyWhy, errDiskHangs.Error())
	}
}

func (s *Set) sweep() {
	err := s.folder.ready()
	if err != nil {
		s.log.Warn("bundles are not kept", keyKept, string(s.folder), keyWhy, err.Error())
		return
	}
	entries, err := os.ReadDir(string(s.folder))
	for _, entry := range entries {
		name := entry.Name()
		switch {
		case !entry.Type().IsRegular():
		case isTempName(name):
			// It may be one that is being written just now.
			if info, err := entry.Info(); err == nil && s.now().Sub(info.ModTime()).Abs() > tempAge {
				s.logRemoved(name, s.folder.remove(name))
			}
		case isKeptName(name):
			s.changing.Lock()
			file := s.file(name)
			s.changing.Unlock()
			if removed, err := file.sweep(); removed {
				s.logRemoved(name, err)
			}
		}
	}
	if err != nil {
		s.log.Warn("bundles that were kept cannot be listed", keyKept, string(s.folder), keyWhy, withoutPath(err).Error())
	}
}

// A removal of what was kept.
type removal struct {
	file *keptFile
	task *diskTask
}

// awaitRemovals waits until what was kept is deleted, but no longer than for a disk
// that answers.
func (s *Set) awaitRemovals(removals []removal) {
	ctx, cancel := waitForDisk()
	defer cancel()
	for _, r := range removals {
		if err := r.file.disk.wait(ctx, r.task); !errors.Is(err, errSuperseded) {
			s.logRemoved(r.file.name, err)
		}
	}
}

func (s *Set) logRemoved(name string, err error) {
	if err != nil {
		s.log.Warn("kept bundle cannot be deleted", keyKept, s.folder.path(name), keyWhy, err.Error())
		return
	}
	s.log.Info("kept bundle deleted", keyKept, s.folder.path(name))
}
