// Runs graphql-codegen's client preset, without its command line, which needs a hundred packages more.
import { codegen } from '@graphql-codegen/core'
import { preset } from '@graphql-codegen/client-preset'
import { buildSchema, parse } from 'graphql'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf-8')
const text = read('../../../../schema/schema.graphql')
const documents = ['changes', 'create', 'history', 'page'].map((name) => {
  const location = `../documents/${name}.graphql`
  const rawSDL = read(location)
  return { location, rawSDL, document: parse(rawSDL) }
})
const files = await preset.buildGeneratesSection({
  baseOutputDir: new URL('generated/', import.meta.url).pathname,
  schema: parse(text),
  schemaAst: buildSchema(text),
  documents,
  config: { documentMode: 'string', scalars: { JSON: 'any', Long: 'number' } },
  presetConfig: { fragmentMasking: false },
  plugins: [],
  pluginMap: {},
  pluginContext: {},
})
for (const file of files) {
  mkdirSync(dirname(file.filename), { recursive: true })
  writeFileSync(file.filename, await codegen(file))
}
