// Answers questions about signed notes, proofs and tiles with Go's own implementation of them.
//
// Each line of the input is a question as JSON, each line of the output its answer. Tests compare the answers
// with those of subgraph/audit, which shares no code with this program.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const tileHeight = 8

// Go's paths of tiles name their height, those of C2SP tlog-tiles are always of height 8.
const (
	goPrefix   = "tile/8/"
	c2spPrefix = "tile/"
)

// A question's kind says which of the other fields it has. Bytes are base64.
type question struct {
	Kind    string            `json:"kind"`
	Keys    []string          `json:"keys"`
	Text    string            `json:"text"`
	Entry   []byte            `json:"entry"`
	Seq     int64             `json:"seq"`
	OldSize int64             `json:"oldSize"`
	OldRoot []byte            `json:"oldRoot"`
	Size    int64             `json:"size"`
	Root    []byte            `json:"root"`
	Proof   [][]byte          `json:"proof"`
	Tiles   map[string][]byte `json:"tiles"`
}

// An answer says whether the question's object is accepted, and if not why.
type answer struct {
	Accepted bool     `json:"accepted"`
	Reason   string   `json:"reason"`
	Texts    []string `json:"texts"`
	Proof    [][]byte `json:"proof"`
}

func main() {
	input := bufio.NewScanner(os.Stdin)
	input.Buffer(nil, 64<<20)
	output := json.NewEncoder(os.Stdout)
	for input.Scan() {
		if err := output.Encode(reply(input.Bytes())); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	if err := input.Err(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func reply(line []byte) answer {
	var asked question
	if err := json.Unmarshal(line, &asked); err != nil {
		fmt.Fprintln(os.Stderr, "not a question:", err)
		os.Exit(1)
	}
	given, err := consider(asked)
	given.Accepted = err == nil
	if err != nil {
		given.Reason = err.Error()
	}
	return given
}

func consider(asked question) (answer, error) {
	switch asked.Kind {
	case "open":
		return open(asked)
	case "sign":
		return sign(asked)
	case "inclusion":
		return answer{}, checkInclusion(asked)
	case "consistency":
		return answer{}, checkConsistency(asked)
	case "proveInclusion":
		return proveInclusion(asked)
	case "proveConsistency":
		return proveConsistency(asked)
	case "path":
		_, err := tlog.ParseTilePath(goPrefix + strings.TrimPrefix(asked.Text, c2spPrefix))
		return answer{}, err
	case "tiles":
		return listTiles(asked), nil
	}
	fmt.Fprintln(os.Stderr, "no such kind of question:", asked.Kind)
	os.Exit(1)
	return answer{}, nil
}

func open(asked question) (answer, error) {
	var known []note.Verifier
	for _, key := range asked.Keys {
		verifier, err := note.NewVerifier(key)
		if err != nil {
			return answer{}, err
		}
		known = append(known, verifier)
	}
	opened, err := note.Open([]byte(asked.Text), note.VerifierList(known...))
	if err != nil {
		return answer{}, err
	}
	return answer{Texts: []string{opened.Text}}, nil
}

func sign(asked question) (answer, error) {
	var signers []note.Signer
	for _, key := range asked.Keys {
		signer, err := note.NewSigner(key)
		if err != nil {
			return answer{}, err
		}
		signers = append(signers, signer)
	}
	signed, err := note.Sign(&note.Note{Text: asked.Text}, signers...)
	return answer{Texts: []string{string(signed)}}, err
}

func checkInclusion(asked question) error {
	proof, err := toHashes(append(asked.Proof, asked.Root))
	if err != nil {
		return err
	}
	last := len(proof) - 1
	return tlog.CheckRecord(proof[:last], asked.Size, proof[last], asked.Seq, tlog.RecordHash(asked.Entry))
}

func checkConsistency(asked question) error {
	proof, err := toHashes(append(asked.Proof, asked.Root, asked.OldRoot))
	if err != nil {
		return err
	}
	last := len(proof) - 2
	return tlog.CheckTree(proof[:last], asked.Size, proof[last], asked.OldSize, proof[last+1])
}

// A proof is made of tiles alone. It is checked although TileHashReader checks tiles against the root: before
// version 0.40 of the package that overlooked some full tiles (CVE-2026-56865, go.dev/issue/80744).
func proveInclusion(asked question) (answer, error) {
	proof, err := tlog.ProveRecord(asked.Size, asked.Seq, hashesOf(asked))
	if err != nil {
		return answer{}, err
	}
	asked.Proof = toBytes(proof)
	return answer{Proof: asked.Proof}, checkInclusion(asked)
}

func proveConsistency(asked question) (answer, error) {
	proof, err := tlog.ProveTree(asked.Size, asked.OldSize, hashesOf(asked))
	if err != nil {
		return answer{}, err
	}
	asked.Proof = toBytes(proof)
	return answer{Proof: asked.Proof}, checkConsistency(asked)
}

func hashesOf(asked question) tlog.HashReader {
	tree := tlog.Tree{N: asked.Size}
	copy(tree.Hash[:], asked.Root)
	return tlog.TileHashReader(tree, tileFiles(asked.Tiles))
}

func toBytes(hashes []tlog.Hash) [][]byte {
	items := [][]byte{}
	for at := range hashes {
		items = append(items, hashes[at][:])
	}
	return items
}

func listTiles(asked question) answer {
	var given answer
	for _, tile := range tlog.NewTiles(tileHeight, asked.OldSize, asked.Size) {
		given.Texts = append(given.Texts, pathOf(tile))
	}
	return given
}

func pathOf(tile tlog.Tile) string {
	return c2spPrefix + strings.TrimPrefix(tile.Path(), goPrefix)
}

func toHashes(items [][]byte) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(items))
	for at, item := range items {
		if copy(hashes[at][:], item) != tlog.HashSize || len(item) != tlog.HashSize {
			return nil, errors.New("not a hash")
		}
	}
	return hashes, nil
}

// tileFiles serves the content of tiles by their paths.
type tileFiles map[string][]byte

func (files tileFiles) Height() int {
	return tileHeight
}

func (files tileFiles) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var contents [][]byte
	for _, tile := range tiles {
		content, found := files[pathOf(tile)]
		if !found {
			return nil, fmt.Errorf("there is no %s", pathOf(tile))
		}
		contents = append(contents, content)
	}
	return contents, nil
}

func (files tileFiles) SaveTiles([]tlog.Tile, [][]byte) {}
