// Package deploy has only tests: the files of this folder are configuration. Others, in e2e, run the
// programs that read them.
package deploy
