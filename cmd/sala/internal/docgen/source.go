package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
)

// readSource parses the Go files of some folders, without tests.
func readSource(root string, folders ...string) ([]*ast.File, error) {
	var files []*ast.File
	set := token.NewFileSet()
	for _, folder := range folders {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err == nil {
				files = append(files, file)
			}
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading the source: %w", err)
		}
	}
	return files, nil
}

// text returns the value of a string literal.
func text(n ast.Node) (string, bool) {
	literal, ok := n.(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return value, err == nil
}

// texts returns the string literals below a node, in order, but not the values of maps.
func texts(n ast.Node) []string {
	var found []string
	ast.Inspect(n, func(n ast.Node) bool {
		if pair, ok := n.(*ast.KeyValueExpr); ok {
			if key, named := text(pair.Key); named {
				found = append(found, key)
				return false
			}
		}
		if value, ok := text(n); ok {
			found = append(found, value)
		}
		return true
	})
	return found
}
