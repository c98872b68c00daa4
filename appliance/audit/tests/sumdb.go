// Checks a log's tiles, checkpoint and proofs with Go's own implementation of transparency logs.
// usage: sumdb VKEY FOLDER PROOF...
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type folder string

func (f folder) Height() int { return 8 }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		number := fmt.Sprintf("%03d", tile.N%1000)
		for rest := tile.N / 1000; rest > 0; rest /= 1000 {
			number = fmt.Sprintf("x%03d/%s", rest%1000, number)
		}
		name := fmt.Sprintf("tile/%d/%s", tile.L, number)
		if tile.W < 256 {
			name += fmt.Sprintf(".p/%d", tile.W)
		}
		data, err := os.ReadFile(filepath.Join(string(f), name))
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func hash(text string) tlog.Hash {
	var h tlog.Hash
	bytes, err := base64.StdEncoding.DecodeString(text)
	must(err)
	copy(h[:], bytes)
	return h
}

func main() {
	verifier, err := note.NewVerifier(os.Args[1])
	must(err)
	text, err := os.ReadFile(filepath.Join(os.Args[2], "checkpoint"))
	must(err)
	opened, err := note.Open(text, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	tree := tlog.Tree{N: size, Hash: hash(lines[2])}
	reader := tlog.TileHashReader(tree, folder(os.Args[2]))

	root, err := tlog.TreeHash(size, reader)
	must(err)
	if root != tree.Hash {
		must(fmt.Errorf("another root"))
	}
	for record := int64(0); record < size; record++ {
		hashes, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, record)})
		must(err)
		proof, err := tlog.ProveRecord(size, record, reader)
		must(err)
		must(tlog.CheckRecord(proof, size, tree.Hash, record, hashes[0]))
	}
	for _, path := range os.Args[3:] {
		data, err := os.ReadFile(path)
		must(err)
		lines := strings.Split(strings.TrimSpace(string(data)), "\n")
		var kind string
		var inner, outer int64
		_, err = fmt.Sscanf(lines[0], "%s %d of %d", &kind, &inner, &outer)
		must(err)
		if outer != size || hash(lines[2]) != tree.Hash {
			must(fmt.Errorf("%s: a proof for another tree", path))
		}
		var hashes []tlog.Hash
		for _, line := range lines[3:] {
			hashes = append(hashes, hash(line))
		}
		if kind == "entry" {
			must(tlog.CheckRecord(hashes, size, tree.Hash, inner, hash(lines[1])))
		} else {
			old, err := tlog.TreeHash(inner, reader)
			must(err)
			if old != hash(lines[1]) {
				must(fmt.Errorf("%s: another old root", path))
			}
			must(tlog.CheckTree(hashes, size, tree.Hash, inner, old))
		}
	}
	fmt.Printf("%d records\n", size)
}
