// The documents and their types come from graphql-codegen; the compiler holds this program to them.
// @ts-ignore: JavaScript without types
import { BAD, GOOD, headers, hearing, resuming, say, since, socket, url } from '../scripts/story.mjs'

import {
  ChangesDocument,
  type ChangesSubscription,
  type CreateCustomerInput,
  CreateDocument,
  HistoryDocument,
  PageDocument,
  type PageQuery,
  type PageQueryVariables,
  type TypedDocumentString,
} from './generated/graphql.js'

type PageInfo = PageQuery['customers']['pageInfo']

async function ask<Result, Variables>(query: TypedDocumentString<Result, Variables>, variables: Variables) {
  const body = JSON.stringify({ query, variables })
  const json = { ...headers, 'Content-Type': 'application/json' }
  const answer = await fetch(url, { method: 'POST', headers: json, body })
  const { data, errors } = await answer.json()
  if (errors) throw new Error(JSON.stringify(errors))
  return data as Result
}

async function created(input: CreateCustomerInput) {
  return (await ask(CreateDocument, { input })).createCustomer
}

const good = await created(GOOD)
if ('name' in good) say({ created: good.name })
const bad = await created(BAD)
if ('code' in bad) say({ refused: bad })

type More = (info: PageInfo) => PageQueryVariables | false

async function pages(start: PageQueryVariables, more: More, said: string) {
  let found = ''
  for (let next: PageQueryVariables | false = start; next; ) {
    const { customers } = await ask(PageDocument, { ...start, ...next })
    const names = customers.edges.map(({ node }) => node.name).join('')
    found = start.first ? found + names : names + found
    say({ [said]: found })
    next = more(customers.pageInfo)
  }
}
await pages({ first: 2 }, (info) => info.hasNextPage && { after: info.endCursor }, 'forward')
await pages({ last: 2 }, (info) => info.hasPreviousPage && { before: info.startCursor }, 'backward')

const wire = socket()
const id = await new Promise<string>((resolve, error) => {
  const listener = hearing(resolve)
  const next = ({ data }: { data: ChangesSubscription }) => listener(data.changes)
  resuming(wire)({ query: ChangesDocument.toString(), variables: { since } }, { next, error, complete() {} })
})
const { changes } = await ask(HistoryDocument, { id })
say({ cached: new Set(changes.edges.map(({ node }) => node.seq)).size })
await wire.dispose()
