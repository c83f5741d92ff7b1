// What every client asks for.
import { readFileSync } from 'node:fs'

const read = (name) => readFileSync(new URL(`documents/${name}.graphql`, import.meta.url), 'utf-8')

export const [CHANGES, CREATE, HISTORY, PAGE] = ['changes', 'create', 'history', 'page'].map(read)
