// A stranger's verifier of a Mayfly log: the note and the tree by golang.org/x/mod/sumdb, the frames by the
// description in lib/log/frame.h and nothing of our code.
//
//	audit-go DIR VKEY
//
// DIR holds checkpoint and wal/. Exit code 0: the signed head is that of the records. 1: it is not.
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type hashes []tlog.Hash

func (h hashes) ReadHashes(at []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(at))
	for i, x := range at {
		if x >= int64(len(h)) {
			return nil, errors.New("hash out of range")
		}
		out[i] = h[x]
	}
	return out, nil
}

type tree struct {
	stored hashes
	size   int64
	prev   [32]byte
	ends   []int64 // tree sizes after each frame
	probe  [][]byte
}

func (t *tree) add(record []byte) error {
	h, err := tlog.StoredHashes(t.size, record, t.stored)
	if err != nil {
		return err
	}
	t.stored = append(t.stored, h...)
	t.probe = append(t.probe, record)
	t.size++
	return nil
}

// frame takes one frame from the front of b.
func (t *tree) frame(b []byte) (rest []byte, err error) {
	const head, trail = 56, 44
	if len(b) < head+trail || binary.BigEndian.Uint32(b) != 0xff4d4657 || binary.BigEndian.Uint16(b[4:]) != 1 {
		return nil, errors.New("not a frame")
	}
	first, count := binary.BigEndian.Uint64(b[8:]), binary.BigEndian.Uint32(b[16:])
	n := int(binary.BigEndian.Uint32(b[20:]))
	if n < 0 || len(b) < head+n+trail {
		return nil, errors.New("frame is cut")
	}
	whole, payload := b[:head+n+trail], b[head:head+n]
	if crc32.Checksum(whole[:len(whole)-4], crc32.MakeTable(crc32.Castagnoli)) != binary.BigEndian.Uint32(whole[len(whole)-4:]) {
		return nil, errors.New("checksum")
	}
	if first != uint64(t.size) || !bytes.Equal(b[24:56], t.prev[:]) {
		return nil, errors.New("frame does not continue the one before it")
	}
	for ; count > 0; count-- {
		if len(payload) < 2 || len(payload) < 2+int(binary.BigEndian.Uint16(payload)) {
			return nil, errors.New("record is cut")
		}
		m := 2 + int(binary.BigEndian.Uint16(payload))
		if err := t.add(payload[2:m]); err != nil {
			return nil, err
		}
		payload = payload[m:]
	}
	root, err := tlog.TreeHash(t.size, t.stored)
	if err != nil {
		return nil, err
	}
	if len(payload) != 0 || binary.BigEndian.Uint64(b[head+n:]) != uint64(t.size) || !bytes.Equal(root[:], b[head+n+8:head+n+40]) {
		return nil, errors.New("frame's tree is not that of its records")
	}
	t.prev = sha256.Sum256(whole)
	t.ends = append(t.ends, t.size)
	return b[len(whole):], nil
}

func checkpoint(dir, vkey string) (size int64, root tlog.Hash, err error) {
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return 0, root, err
	}
	msg, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		return 0, root, err
	}
	n, err := note.Open(msg, note.VerifierList(v))
	if err != nil {
		return 0, root, err
	}
	line := strings.Split(n.Text, "\n")
	if len(line) != 4 || line[0] != v.Name() {
		return 0, root, fmt.Errorf("head has %d lines, origin %q", len(line), line[0])
	}
	if size, err = strconv.ParseInt(line[1], 10, 64); err != nil {
		return 0, root, err
	}
	h, err := base64.StdEncoding.DecodeString(line[2])
	if err != nil || len(h) != len(root) {
		return 0, root, errors.New("root")
	}
	copy(root[:], h)
	return size, root, nil
}

// proofs checks inclusion of some records and consistency of some frame ends with the head.
func (t *tree) proofs(size int64, root tlog.Hash) error {
	for i := int64(0); i < size; i += 1 + size/50 {
		p, err := tlog.ProveRecord(size, i, t.stored)
		if err != nil {
			return err
		}
		if err := tlog.CheckRecord(p, size, root, i, tlog.RecordHash(t.probe[i])); err != nil {
			return err
		}
	}
	for k := 0; k < len(t.ends) && t.ends[k] <= size; k += 1 + len(t.ends)/50 {
		old, err := tlog.TreeHash(t.ends[k], t.stored)
		if err != nil {
			return err
		}
		p, err := tlog.ProveTree(size, t.ends[k], t.stored)
		if err != nil {
			return err
		}
		if err := tlog.CheckTree(p, size, root, t.ends[k], old); err != nil {
			return err
		}
	}
	return nil
}

func run(dir, vkey string) error {
	size, root, err := checkpoint(dir, vkey)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	segments, err := filepath.Glob(filepath.Join(dir, "wal", "*.seg"))
	if err != nil {
		return err
	}
	sort.Strings(segments)
	t := &tree{}
	for _, s := range segments {
		b, err := os.ReadFile(s)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%016d.seg", t.size); filepath.Base(s) != want {
			return fmt.Errorf("%s: expected %s", s, want)
		}
		for len(b) > 0 {
			if b, err = t.frame(b); err != nil {
				return fmt.Errorf("%s at index %d: %w", s, t.size, err)
			}
		}
	}
	if t.size < size {
		return fmt.Errorf("%d records, the head covers %d", t.size, size)
	}
	got := tlog.Hash(sha256.Sum256(nil)) // RFC 6962 2.1: the empty tree
	if size > 0 {
		if got, err = tlog.TreeHash(size, t.stored); err != nil {
			return err
		}
	}
	if got != root {
		return fmt.Errorf("root of %d records is %s, the head says %s", size, got, root)
	}
	if err := t.proofs(size, root); err != nil {
		return err
	}
	fmt.Printf("ok signed=%d unsigned=%d frames=%d segments=%d\n", size, t.size-size, len(t.ends), len(segments))
	return nil
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: audit-go DIR VKEY")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "bad:", err)
		os.Exit(1)
	}
}
